//! Ctrl-C.

use std::io;

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Interrupted;

/// Does `work` until it is done or Ctrl-C is pressed, which calls it off.
pub(crate) async fn until_ctrl_c<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let _hidden = HiddenKey::new();
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

/// While this lives, the terminal writes no `^C` where the key is pressed: behind a line that moves it would stand on the
/// next one, and that would be cleared in its place.
struct HiddenKey {
    before: Option<Termios>,
}

impl HiddenKey {
    fn new() -> Self {
        let before = tcgetattr(io::stderr()).ok().filter(|_| is_ours());
        if let Some(before) = &before {
            let mut modes = before.clone();
            modes.local_modes.remove(LocalModes::ECHOCTL);
            let _ = tcsetattr(io::stderr(), OptionalActions::Now, &modes);
        }
        Self { before }
    }
}

impl Drop for HiddenKey {
    fn drop(&mut self) {
        if let Some(before) = self.before.as_ref().filter(|_| is_ours()) {
            let _ = tcsetattr(io::stderr(), OptionalActions::Now, before);
        }
    }
}

/// Whether we stand before the terminal. A process in the background that changed it would be stopped.
fn is_ours() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|group| group == getpgrp())
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
