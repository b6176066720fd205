//! Keeps what is typed during an answer from being shown in the middle of it.

use std::io;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// While this lives, the terminal does not show what is typed; it is shown at the next prompt.
///
/// Ctrl-C stays a signal. Where the terminal cannot do it, nothing happens.
#[derive(Debug)]
pub(super) struct EchoOff {
    before: Option<Termios>,
}

impl EchoOff {
    pub(super) fn new() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &silent);
        }
        Self { before }
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
