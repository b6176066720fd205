//! The right to use a loaded model.

use runner_protocol::Loaded;
use supervisor::Runner;
use tokio::sync::mpsc::UnboundedSender;

use super::task::Notice;

/// While it is held the model stays loaded; dropping the last one starts the idle clock.
#[derive(Debug)]
pub struct Lease {
    pub(super) entry: u64,
    pub(super) runner: Runner,
    pub(super) loaded: Loaded,
    /// Unbounded, because `drop` cannot wait; it holds at most one notice per lease.
    pub(super) notices: UnboundedSender<Notice>,
}

impl Lease {
    /// The runner that holds the model.
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Its report on the loaded model.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.notices.send(Notice::Released { entry: self.entry });
    }
}
