//! Ctrl-C.

use tokio::signal::unix::{SignalKind, signal};

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
///
/// It is heard from this call on, and not only from when the future is first asked: work that is asked before it may be long,
/// and what was pressed meanwhile would be lost.
pub(crate) fn ctrl_c() -> impl Future<Output = ()> {
    let heard = signal(SignalKind::interrupt());
    async {
        match heard {
            Ok(mut heard) => {
                heard.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn what_is_pressed_before_anybody_waits_is_heard() {
        let pressed = ctrl_c();
        kill_process(getpid(), Signal::INT).unwrap();
        pressed.await;
    }
}
