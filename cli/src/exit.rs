//! The exit statuses of `slm`.

use std::process::ExitCode;

/// An exit status of `slm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: success.
    Ok,
    /// 1: failure.
    Failed,
    /// 2: a mistake in the command line.
    Usage,
    /// 3: no daemon answered, and none could be started.
    Unreachable,
    /// 130: Ctrl-C, as shells count it (128 plus the number of the signal).
    Interrupted,
}

impl Exit {
    /// Every status, by number.
    pub const ALL: [Self; 5] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Unreachable,
        Self::Interrupted,
    ];

    /// The number for the shell.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Interrupted => 130,
        }
    }

    /// The meaning, for the reference page.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "Success.",
            Self::Failed => "Failure of a valid command.",
            Self::Usage => "Mistake in the command line.",
            Self::Unreachable => "No daemon answered, and none could be started.",
            Self::Interrupted => "Ctrl-C.",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
