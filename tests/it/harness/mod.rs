//! What a whole-program test needs: a home of its own, the real programs, and a way to wait that is not a sleep.

mod daemon;
mod home;
mod outcome;
mod server;

pub(crate) use daemon::Daemon;
pub(crate) use home::{Engine, Home};
pub(crate) use outcome::Outcome;
pub(crate) use server::{Server, kills, random};

use std::time::{Duration, Instant};

/// Longest that any condition may take, in seconds; far above what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` gives a value.
///
/// # Panics
/// When it does not come within a minute, naming `what` was waited for.
pub(crate) fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
