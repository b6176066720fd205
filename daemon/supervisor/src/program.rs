//! What to start, what it may see, and how long it is waited for.

use std::{ffi::OsString, os::fd::OwnedFd, path::PathBuf, time::Duration};

/// A program that speaks the runner protocol.
#[derive(Debug, Clone)]
pub struct Program {
    /// Absolute path of the executable.
    pub path: PathBuf,
    /// Arguments, without the program's name.
    pub args: Vec<OsString>,
    /// The whole environment of the process; nothing of the daemon's own environment is passed on.
    pub env: Vec<(OsString, OsString)>,
}

impl Program {
    /// A program with no arguments and an empty environment.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }
}

/// Open files that the runner inherits, and the only ones beside its socket.
#[derive(Debug, Default)]
pub struct Files(Vec<OwnedFd>);

impl Files {
    /// Descriptor that the first file gets in the runner; 0 to 2 are the standard ones.
    pub const FIRST: i32 = 3;

    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, which should be open for reading only, and returns the number of its descriptor in the runner.
    pub fn push(&mut self, file: impl Into<OwnedFd>) -> i32 {
        let number = Self::FIRST
            + i32::try_from(self.0.len()).expect("a process has fewer files than i32 has numbers");
        self.0.push(file.into());
        number
    }

    /// The files with the numbers they get.
    pub fn into_numbered(self) -> impl Iterator<Item = (i32, OwnedFd)> {
        (Self::FIRST..).zip(self.0)
    }
}

/// How long a runner is waited for.
#[derive(Debug, Clone)]
pub struct Options {
    /// From the start of the process to its first frame.
    pub hello: Duration,
    /// Without progress while it loads; then it counts as stalled and is killed.
    pub load_silence: Duration,
    /// Without any event while it should answer; then it counts as stalled and is killed.
    pub silence: Duration,
    /// With a full queue whose reader takes nothing; then that one answer is cancelled.
    pub patience: Duration,
    /// For its leaving when the last handle was dropped.
    pub grace: Duration,
    /// From SIGTERM to SIGKILL.
    pub term: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(30),
            load_silence: Duration::from_secs(120),
            silence: Duration::from_secs(60),
            patience: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            term: Duration::from_secs(3),
        }
    }
}
