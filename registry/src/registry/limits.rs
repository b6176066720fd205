//! How many operations read or write whole files at a time.
//!
//! Each of them holds a thread that may block for as long as it lasts, and an upload lasts as long as its client likes.
//! An operation that has to wait does so without a thread, so threads are left for what is short: lists, manifests, templates.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{Registry, Reporter, Stage};

/// Most uploads that are written at a time.
const UPLOADS: usize = 8;

/// Most files of this machine that are read whole at a time, to take them in or to check them.
const READERS: usize = 4;

/// The limits of one store.
pub(super) struct Limits {
    uploads: Semaphore,
    readers: Semaphore,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            uploads: Semaphore::new(UPLOADS),
            readers: Semaphore::new(READERS),
        }
    }
}

impl Limits {
    async fn upload(&self) -> SemaphorePermit<'_> {
        self.uploads.acquire().await.expect("nobody closes it")
    }

    async fn reader(&self, reporter: &Reporter) -> SemaphorePermit<'_> {
        if self.readers.available_permits() == 0 {
            reporter.stage(Stage::WaitingForFiles);
        }
        self.readers.acquire().await.expect("nobody closes it")
    }
}

impl Registry {
    /// Waits for the right to write an upload.
    pub(super) async fn may_upload(&self) -> SemaphorePermit<'_> {
        self.0.limits.upload().await
    }

    /// Waits for the right to read whole files, and reports it if that takes long. An operation asks once, or it would wait for itself.
    pub(crate) async fn may_read(&self, reporter: &Reporter) -> SemaphorePermit<'_> {
        self.0.limits.reader(reporter).await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_permit_that_is_given_back_is_free_again() {
        let limits = Limits::default();
        let silent = Reporter::silent();
        let mut taken = Vec::new();
        for _ in 0..READERS {
            taken.push(limits.reader(&silent).await);
        }
        assert!(limits.reader(&silent).now_or_never().is_none());
        assert!(limits.upload().now_or_never().is_some());
        drop(taken.pop());
        assert!(limits.reader(&silent).now_or_never().is_some());
    }
}
