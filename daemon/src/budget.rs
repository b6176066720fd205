//! How many bytes the bodies of all requests may have together.
//!
//! Each body has a limit of its own, and thousands of connections may send one at a time; this is what bounds the memory of
//! all of them. A body takes its share while it comes, and gives it back when its request is handled: what is left then is a
//! prompt with the runner, or an answer.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// Most bytes of all bodies together, beyond [`UNCOUNTED`] of each.
const TOTAL: usize = 256 << 20;

/// Bytes of a body that are not counted, so that short requests pass when long ones have taken everything.
pub(crate) const UNCOUNTED: usize = 64 << 10;

/// The budget of one daemon. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self::of(TOTAL)
    }
}

impl Budget {
    /// A budget of so many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// The share of a request, empty at first.
    pub(crate) fn share(&self) -> Share {
        Share {
            all: self.0.clone(),
            held: Arc::default(),
        }
    }
}

/// What one request has taken of the budget.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    all: Arc<Semaphore>,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Share {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// [`Error::Full`] when the bodies of others have taken them.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Error> {
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

/// Lends each request its share for as long as it is handled.
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
    fn what_a_request_took_is_free_again_when_it_is_over() {
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
