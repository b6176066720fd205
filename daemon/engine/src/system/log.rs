//! The log: lines on standard error, which the daemon collects.

use tracing_subscriber::EnvFilter;

use crate::ffi;

/// The variable that says what is logged, in the notation of `RUST_LOG`.
const VARIABLE: &str = "SLM_RUNNER_LOG";

/// Without the variable: what an administrator should see.
const DEFAULT: &str = "info";

/// Starts the log of this process, native code included.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time();
    // Fails only when a log was started before, which then goes on.
    let _ = log.try_init();
    ffi::log::redirect();
}
