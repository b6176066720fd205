//! Work that would block a worker thread of the runtime.

use crate::error::Error;

/// Blocking threads, for files and templates; many more than the store uses to read whole files.
pub const THREADS: usize = 256;

/// Work on this many bytes or more runs on a blocking thread.
const LARGE: usize = 256 << 10;

/// Runs work on this many bytes: at once if they are few, else on a blocking thread.
///
/// # Errors
/// As [`run`].
pub(crate) async fn run_sized<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if bytes < LARGE {
        return Ok(work());
    }
    run(work).await
}

/// Runs work on a blocking thread.
///
/// # Errors
/// [`Error::Internal`] when the work panics, or the runtime shuts down.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_work_runs_on_another_thread() {
        let here = std::thread::current().id();
        let thread = || std::thread::current().id();
        assert_eq!(run_sized(LARGE - 1, thread).await.unwrap(), here);
        assert_ne!(run_sized(LARGE, thread).await.unwrap(), here);
    }
}
