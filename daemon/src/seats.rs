//! How much work on files goes on side by side.
//!
//! Such work holds a thread that may block for as long as it lasts, and an upload lasts as long as its client likes. Whoever
//! finds no seat waits without a thread, so there are always threads left for what is short: lists, manifests, templates.

use std::sync::Arc;

use registry::Reporter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// Threads that may block, for files and templates; many more than there are seats.
pub const BLOCKING: usize = 256;

/// Most uploads that are written at a time.
const UPLOADS: usize = 8;

/// Most files of this machine that are read whole at a time, to take them in or to check them.
const READERS: usize = 4;

/// The seats of one daemon. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Seats {
    uploads: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }
}

impl Seats {
    /// Waits for the right to write an upload.
    ///
    /// # Errors
    /// Never while the daemon lives.
    pub async fn upload(&self) -> Result<OwnedSemaphorePermit, Error> {
        take(&self.uploads).await
    }

    /// Waits for the right to read whole files, and tells those who look on if it takes long.
    ///
    /// # Errors
    /// Never while the daemon lives.
    pub async fn reader(&self, reporter: &Reporter) -> Result<OwnedSemaphorePermit, Error> {
        if self.readers.available_permits() == 0 {
            reporter.status("waiting for other files to be read");
        }
        take(&self.readers).await
    }
}

async fn take(seats: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
    // Nobody closes the semaphores.
    seats
        .clone()
        .acquire_owned()
        .await
        .map_err(|_| Error::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_seat_that_is_given_back_is_free_again() {
        let seats = Seats::default();
        let silent = Reporter::silent();
        let mut taken = Vec::new();
        for _ in 0..READERS {
            taken.push(seats.reader(&silent).await.unwrap());
        }
        assert!(seats.clone().reader(&silent).now_or_never().is_none());
        assert!(seats.upload().now_or_never().is_some());
        drop(taken.pop());
        assert!(seats.reader(&silent).now_or_never().is_some());
    }
}
