//! Bounds the bytes of all request bodies together.
//!
//! Each body has a limit, but thousands of connections can send bodies at a time, so their sum has a budget too. A body takes its
//! share of the budget as it arrives. The share lives until the runner has the prompt: until the response begins, and in
//! [`crate::transport::sse::respond`] and in the background until the answer does.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// Most bytes of all bodies together, beyond [`UNCOUNTED`] of each.
const TOTAL: usize = 256 << 20;

/// The first bytes of each body, which do not count, so that short requests pass when long ones have used up the budget.
pub(crate) const UNCOUNTED: usize = 64 << 10;

/// The budget of one daemon. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self::of(TOTAL)
    }
}

impl Budget {
    /// A budget of this many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// The share of a new request, which is empty.
    pub(crate) fn share(&self) -> Share {
        Share {
            all: self.0.clone(),
            held: Arc::default(),
        }
    }
}

/// The bytes that one request has taken from the budget. They return when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Share {
    all: Arc<Semaphore>,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Share {
    /// Takes the bytes by which a body grew from one length to another, without its first [`UNCOUNTED`] ones.
    ///
    /// # Errors
    /// [`Error::Full`] when the budget is used up.
    pub(crate) fn grow(&self, before: usize, after: usize) -> Result<(), Error> {
        let counted = |bytes: usize| bytes.saturating_sub(UNCOUNTED);
        match counted(after) - counted(before) {
            0 => Ok(()),
            more => self.take(more),
        }
    }

    /// Takes the bytes of further copies of the request, for as many copies in all.
    ///
    /// # Errors
    /// [`Error::Field`] names the field that asks for more copies than the budget of any daemon holds, and [`Error::Full`] when the
    /// budget is used up.
    pub(crate) fn copy(&self, copies: u32, field: &str) -> Result<(), Error> {
        let bytes = self.held().as_ref().map_or(0, |held| held.num_permits());
        let copies = copies as usize;
        if bytes.saturating_mul(copies) > TOTAL {
            let most = TOTAL / bytes;
            let reason = format!("must be at most {most} for a request of this length");
            return Err(Error::field(field, reason));
        }
        self.take(bytes * copies.saturating_sub(1))
    }

    /// Takes this many more bytes.
    fn take(&self, bytes: usize) -> Result<(), Error> {
        let more = u32::try_from(bytes).map_err(|_| Error::Full)?;
        let more = self.all.clone().try_acquire_many_owned(more);
        let more = more.map_err(|_| Error::Full)?;
        match &mut *self.held() {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The share of the request, for handlers whose response begins before the runner has the prompt.
impl<S: Sync> FromRequestParts<S> for Share {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let share = parts.extensions.get::<Self>().cloned();
        Ok(share.unwrap_or_else(|| Budget::default().share()))
    }
}

/// Gives each request its share, at least until the response begins.
pub(crate) async fn lend(
    State(budget): State<Budget>,
    mut request: Request,
    next: Next,
) -> Response {
    let share = budget.share();
    request.extensions_mut().insert(share.clone());
    let response = next.run(request).await;
    drop(share);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_share_returns_its_bytes() {
        let budget = Budget::of(10);
        let (one, two) = (budget.share(), budget.share());
        one.take(4).unwrap();
        one.clone().take(4).unwrap();
        assert!(matches!(two.take(3), Err(Error::Full)));
        two.take(2).unwrap();
        drop(one);
        two.take(8).unwrap();
    }

    #[test]
    fn copies_of_a_request_count() {
        let budget = Budget::of(10);
        let share = budget.share();
        share.copy(16, "n").unwrap();
        share.take(3).unwrap();
        share.copy(1, "n").unwrap();
        assert!(matches!(share.copy(4, "n"), Err(Error::Full)));
        share.copy(3, "n").unwrap();
        assert!(matches!(budget.share().take(2), Err(Error::Full)));
        let large = Budget::default().share();
        large.take(TOTAL / 4).unwrap();
        let error = large.copy(5, "n").unwrap_err();
        assert_eq!(error.param(), Some("n"));
        assert!(error.to_string().contains("at most 4"), "{error}");
    }
}
