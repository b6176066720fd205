//! Keeps what is typed during an answer from being shown in the middle of it, and from being lost.

use std::io;

use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// While this lives, the terminal shows nothing of what is typed, and keeps it for the next prompt.
///
/// Ctrl-C stays a signal, and takes nothing of what was typed with it. Where the terminal cannot do it, nothing happens.
#[derive(Debug)]
pub(super) struct Quiet {
    before: Option<Termios>,
}

impl Quiet {
    /// For a prompt that reads keys. A key such as Ctrl-D is kept as the key that it is.
    pub(super) fn for_keys() -> Self {
        Self::with(|modes| {
            modes
                .local_modes
                .remove(LocalModes::ECHO | LocalModes::ICANON);
            modes.input_modes.remove(InputModes::ICRNL);
        })
    }

    /// For a prompt that reads lines, which the terminal itself puts together.
    pub(super) fn for_lines() -> Self {
        Self::with(|modes| modes.local_modes.remove(LocalModes::ECHO))
    }

    fn with(change: impl FnOnce(&mut Termios)) -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            change(&mut quiet);
            // Without this, Ctrl-C would empty the queue of keys.
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
