//! Ctrl-C.

use crate::error::Interrupted;

/// Does `work` until it is done or Ctrl-C is pressed, which calls it off.
pub(crate) async fn until_ctrl_c<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        // The work first: what is done is done, even if Ctrl-C came at the same moment.
        biased;
        done = work => done,
        () = ctrl_c() => Err(Interrupted.into()),
    }
}

/// Waits for Ctrl-C; for ever where the platform cannot say.
pub(crate) async fn ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
