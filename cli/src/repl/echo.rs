//! Keeps text typed during an answer out of the answer, and for the next prompt.

use std::io;

use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// While this lives, the terminal does not echo typed text, and keeps it for the next prompt.
///
/// Ctrl-C stays a signal and does not discard typed text. On a terminal without these modes nothing changes.
#[derive(Debug)]
pub(super) struct Quiet {
    before: Option<Termios>,
}

impl Quiet {
    /// For a prompt that reads keys: a key such as Ctrl-D is kept as that key.
    pub(super) fn for_keys() -> Self {
        Self::with(|modes| {
            modes
                .local_modes
                .remove(LocalModes::ECHO | LocalModes::ICANON);
            modes.input_modes.remove(InputModes::ICRNL);
        })
    }

    /// For a prompt that reads lines, which the terminal itself edits.
    pub(super) fn for_lines() -> Self {
        Self::with(|modes| modes.local_modes.remove(LocalModes::ECHO))
    }

    fn with(change: impl FnOnce(&mut Termios)) -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            change(&mut quiet);
            // Without this, Ctrl-C would flush the queue of keys.
            quiet.local_modes.insert(LocalModes::NOFLSH);
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &quiet);
        }
        Self { before }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
