//! Every way in which `slm` ends.

use std::process::ExitCode;

/// What the exit status of `slm` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: it was done.
    Ok,
    /// 1: it was understood and could not be done.
    Failed,
    /// 2: the command line was not understood.
    Usage,
    /// 3: no daemon answered, and none could be started.
    Unreachable,
    /// 130: Ctrl-C, as shells count it (128 plus the number of the signal).
    Interrupted,
}

impl Exit {
    /// Every way, in the order of its number.
    pub const ALL: [Self; 5] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Unreachable,
        Self::Interrupted,
    ];

    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Interrupted => 130,
        }
    }

    /// What it means, for the reference page.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "It was done.",
            Self::Failed => "It was understood and could not be done.",
            Self::Usage => "The command line was not understood.",
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
