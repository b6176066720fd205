//! Bounds the bytes of all request bodies together.
//!
//! Each body has a limit, but thousands of connections can send bodies at a time, so their sum has a budget too. A body takes its
//! share of the budget as it arrives, and returns it when the response begins: the runner has the prompt by then.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
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

/// The bytes that one request has taken from the budget.
#[derive(Debug, Clone)]
pub(crate) struct Share {
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

    /// Takes this many more bytes.
    fn take(&self, bytes: usize) -> Result<(), Error> {
        let more = u32::try_from(bytes).map_err(|_| Error::Full)?;
        let more = self.all.clone().try_acquire_many_owned(more);
        let more = more.map_err(|_| Error::Full)?;
        match &mut *self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

/// Gives each request its share until the response begins.
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
}
