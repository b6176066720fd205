//! Work that is finished even if its client disconnects.

use crate::error::Error;

/// Runs work in a task, which goes on when this future is dropped.
///
/// # Errors
/// The error of the work, and [`Error::Internal`] when it panics.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(work).await.map_err(|_| Error::Internal)?
}
