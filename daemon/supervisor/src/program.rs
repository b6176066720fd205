//! The program of a runner, its open files, and its timeouts.

use std::{ffi::OsString, os::fd::OwnedFd, path::PathBuf, time::Duration};

/// A program that speaks the runner protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Absolute path of the executable.
    pub path: PathBuf,
    /// Arguments, without the program's name.
    pub args: Vec<OsString>,
    /// The whole environment of the process, which inherits nothing from the daemon's environment.
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

/// The only open files that the runner inherits, besides its socket and standard error.
#[derive(Debug, Default)]
pub struct Files(Vec<OwnedFd>);

impl Files {
    /// Descriptor of the first file in the runner, after the standard ones.
    pub const FIRST: i32 = 3;

    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, usually opened read-only, and returns its descriptor in the runner.
    pub fn push(&mut self, file: impl Into<OwnedFd>) -> i32 {
        let number = Self::FIRST
            + i32::try_from(self.0.len()).expect("a process has fewer files than i32 has numbers");
        self.0.push(file.into());
        number
    }

    /// The number of files.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The files with their descriptors in the runner.
    pub fn into_numbered(self) -> impl Iterator<Item = (i32, OwnedFd)> {
        (Self::FIRST..).zip(self.0)
    }
}

/// Timeouts of a runner.
#[derive(Debug, Clone)]
pub struct Options {
    /// From the start of the process to its hello.
    pub hello: Duration,
    /// Without progress of a load; then the runner counts as stalled and is killed.
    pub load_silence: Duration,
    /// Without progress of an open call; then the runner counts as stalled and is killed.
    pub silence: Duration,
    /// With a full queue of one answer; then this answer is cancelled.
    pub patience: Duration,
    /// From the drop of the last handle to SIGTERM.
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
