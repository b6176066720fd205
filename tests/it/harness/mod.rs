//! The harness of whole-program tests: a temporary home, the real programs, and waiting for conditions instead of sleeps.

mod daemon;
mod home;
mod outcome;
mod server;

pub(crate) use daemon::Daemon;
pub(crate) use home::{Engine, Home};
pub(crate) use outcome::Outcome;
pub(crate) use server::{Server, kills, random};

use std::time::{Duration, Instant};

/// Timeout of a condition, far above the needs of a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` gives a value.
///
/// # Panics
/// If it does not hold within a minute; the message names `what`.
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
