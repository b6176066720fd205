//! Work that is short for small inputs and would hold a worker for large ones.

use crate::error::Error;

/// Threads that may block, for files and templates; many more than the store uses for whole files at a time.
pub const THREADS: usize = 256;

/// Bytes from which on the work is done on a thread that may block.
const LARGE: usize = 256 << 10;

/// Does some work on so many bytes where it holds nobody up.
///
/// # Errors
/// [`Error::Internal`] when the work panics, or the daemon ends.
pub(crate) async fn on<T: Send + 'static>(
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
    async fn large_work_leaves_the_thread_of_its_caller() {
        let here = std::thread::current().id();
        let thread = || std::thread::current().id();
        assert_eq!(on(LARGE - 1, thread).await.unwrap(), here);
        assert_ne!(on(LARGE, thread).await.unwrap(), here);
    }
}
