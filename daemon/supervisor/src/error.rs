//! Errors of a runner.
//!
//! They can be cloned, because the end of one runner is the error of many calls.

use std::{
    io, os::unix::process::ExitStatusExt as _, path::PathBuf, process::ExitStatus, sync::Arc,
};

use runner_protocol::{Failure, FailureKind, VERSION, frame};

/// Why a call on a runner failed.
///
/// After every error but [`Error::Failed`] and [`Error::Slow`] the runner is gone, and a new one may succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The program could not be started.
    #[error("cannot start the runner {}", path.display())]
    Spawn {
        /// The program.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: Arc<io::Error>,
    },
    /// The program started and sent no hello in time.
    #[error("the runner did not introduce itself within {seconds} s")]
    Hello {
        /// [`Options::hello`](super::Options::hello), in seconds.
        seconds: u64,
        /// How it ended.
        exit: Exit,
    },
    /// The program is from another build.
    #[error(
        "the runner `{engine}` speaks version {theirs} of the protocol, this daemon speaks {VERSION}; install both from one release"
    )]
    Version {
        /// Version that the runner speaks.
        theirs: u32,
        /// Its name for itself.
        engine: String,
    },
    /// The runner crashed, exited, or was killed by another process.
    #[error("the runner {0}")]
    Exited(Exit),
    /// The runner refused this call, and continues.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// The runner broke the protocol, and was killed.
    #[error("the runner broke the protocol")]
    Protocol {
        /// How it broke it.
        #[source]
        source: Arc<Violation>,
        /// How it ended.
        exit: Exit,
    },
    /// The runner showed no progress for too long, and was killed.
    #[error("the runner made no progress for {seconds} s")]
    Stalled {
        /// The time that it had.
        seconds: u64,
        /// How it ended.
        exit: Exit,
    },
    /// The reader of this answer was too slow. The answer was cancelled, and the runner continues.
    #[error(
        "the answer was cancelled, because its reader left {unread} bytes unread for {seconds} s"
    )]
    Slow {
        /// How long the queue was full.
        seconds: u64,
        /// Unread bytes of text.
        unread: usize,
    },
    /// The daemon stopped the runner.
    #[error("the runner was stopped")]
    Stopped,
}

impl Error {
    /// The last lines that the runner wrote to its standard error, oldest first; at most 20.
    pub fn stderr(&self) -> &[String] {
        match self {
            Self::Hello { exit, .. }
            | Self::Exited(exit)
            | Self::Protocol { exit, .. }
            | Self::Stalled { exit, .. } => &exit.stderr,
            Self::Spawn { .. }
            | Self::Version { .. }
            | Self::Failed(_)
            | Self::Slow { .. }
            | Self::Stopped => &[],
        }
    }

    /// The failure of a call that the supervisor refuses.
    pub(super) fn refused(kind: FailureKind, message: impl Into<String>) -> Self {
        Self::Failed(Failure::new(kind, message.into()))
    }
}

/// How a runner ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Why it ended.
    pub cause: Cause,
    /// Exit code or signal.
    /// `None` when a killed process did not end within two seconds, as with a broken driver; it is reaped when it ends.
    pub status: Option<ExitStatus>,
    /// The last lines that it wrote to its standard error, oldest first; at most 20.
    pub stderr: Vec<String>,
}

impl Exit {
    /// The exit of a runner whose service was dropped with the runtime, which kills and reaps the process.
    pub(super) fn dropped() -> Self {
        Self {
            cause: Cause::Stopped,
            status: None,
            stderr: Vec::new(),
        }
    }

    /// The error for the open calls of this runner.
    pub fn to_error(&self) -> Error {
        let exit = self.clone();
        match &self.cause {
            Cause::Itself => Error::Exited(exit),
            Cause::Stopped => Error::Stopped,
            Cause::Mute { seconds } => Error::Hello {
                seconds: *seconds,
                exit,
            },
            Cause::Version { theirs, engine } => Error::Version {
                theirs: *theirs,
                engine: engine.clone(),
            },
            Cause::Stalled { seconds } => Error::Stalled {
                seconds: *seconds,
                exit,
            },
            Cause::Protocol(source) => Error::Protocol {
                source: Arc::clone(source),
                exit,
            },
        }
    }

    /// The signal that ended it, if any.
    pub fn signal(&self) -> Option<i32> {
        self.status.and_then(|status| status.signal())
    }
}

/// How the process ended, as a predicate: `ended with exit status: 1`.
impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status {
            Some(status) if status.signal().is_some() => write!(f, "was ended by {status}"),
            Some(status) => write!(f, "ended with {status}"),
            None => f.write_str("was killed and is not gone yet"),
        }
    }
}

/// Why a runner ended.
#[derive(Debug, Clone)]
pub enum Cause {
    /// It crashed, exited, or was killed by another process.
    Itself,
    /// The daemon stopped it, or dropped its last handle.
    Stopped,
    /// It sent no hello in time.
    Mute {
        /// The time that it had.
        seconds: u64,
    },
    /// It is from another build.
    Version {
        /// Version that it speaks.
        theirs: u32,
        /// Its name for itself.
        engine: String,
    },
    /// It showed no progress for too long.
    Stalled {
        /// The time that it had.
        seconds: u64,
    },
    /// It broke the protocol.
    Protocol(Arc<Violation>),
}

/// How a runner broke the protocol.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// An invalid or incomplete frame.
    #[error(transparent)]
    Frame(#[from] frame::Error),
    /// A reply to a request that is not open.
    #[error("a reply to request {0}, which is not open")]
    NotOpen(u64),
    /// A report on a saved state that it does not have.
    #[error("an outcome of state {0}, which the runner does not have")]
    NoState(u32),
    /// An event that the answer to this call cannot have.
    #[error("an event `{event}` in the answer to `{call}`")]
    OutOfPlace {
        /// The event.
        event: &'static str,
        /// The call.
        call: &'static str,
    },
}
