//! The two signals to stop: first gracefully, then at once.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tokens and the task tracker that all tasks share; cheap to clone.
///
/// [`crate::run`] defines the order of a stop.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// No new connections and no new work; running requests may finish.
    pub graceful: CancellationToken,
    /// All connections end at once.
    pub force: CancellationToken,
    /// All tasks of the daemon, so that a stop can wait for them.
    pub tasks: TaskTracker,
}

impl Shutdown {
    /// Not stopping.
    pub fn new() -> Self {
        Self::default()
    }
}
