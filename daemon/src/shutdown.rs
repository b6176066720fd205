//! How the daemon is told to stop: first gently, then for good.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Handed to everything that lives; cheap to clone.
///
/// The order of the whole stop stands in [`crate::run`]; this only carries the words.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// No new connections, no new work; what runs may finish.
    pub graceful: CancellationToken,
    /// End now, whatever runs.
    pub force: CancellationToken,
    /// Every task of the daemon, so that none is left behind.
    pub tasks: TaskTracker,
}

impl Shutdown {
    /// Nothing is stopping yet.
    pub fn new() -> Self {
        Self::default()
    }
}
