//! Ctrl-C.

use std::io;

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Interrupted;

/// Runs `work` until it is done, or cancels it on Ctrl-C.
pub(crate) async fn until_ctrl_c<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let _hidden = HiddenKey::new();
    tokio::select! {
        // The work is polled first: a result counts even if Ctrl-C came at the same moment.
        biased;
        done = work => done,
        () = ctrl_c() => Err(Interrupted.into()),
    }
}

/// Waits for Ctrl-C; for ever if the platform has no such signal.
///
/// The handler is installed by this call, not by the first poll: a long poll before it would lose the signal.
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

/// While this lives, the terminal does not echo `^C`. The echo behind a moving line would go to the next line, and the
/// program would clear the wrong one.
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

/// Whether this process is in the foreground. The system stops a background process that changes the terminal.
fn is_ours() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|group| group == getpgrp())
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn ctrl_c_before_the_first_poll_is_not_lost() {
        let pressed = ctrl_c();
        kill_process(getpid(), Signal::INT).unwrap();
        pressed.await;
    }
}
