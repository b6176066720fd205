//! What can go wrong with a runner, told to everybody who waits for it.
//!
//! All of it can be cloned, because one dead runner is the answer to many callers.

use std::{
    io, os::unix::process::ExitStatusExt as _, path::PathBuf, process::ExitStatus, sync::Arc,
};

use runner_protocol::{Failure, FailureKind, VERSION, frame};

/// Why a call on a runner has no answer.
///
/// All but [`Error::Failed`] and [`Error::Slow`] mean that the runner is gone, and that a fresh one may do better.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The program could not be started.
    #[error("cannot start the runner {}", path.display())]
    Spawn {
        /// The program.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The program started and did not introduce itself in time.
    #[error("the runner did not introduce itself within {seconds} s")]
    Hello {
        /// [`Options::hello`](super::Options::hello), in seconds.
        seconds: u64,
        /// How it ended.
        exit: Exit,
    },
    /// The program is of another build.
    #[error(
        "the runner `{engine}` speaks version {theirs} of the protocol, this daemon speaks {VERSION}; install both from one release"
    )]
    Version {
        /// Version that the runner speaks.
        theirs: u32,
        /// How it calls itself.
        engine: String,
    },
    /// The runner ended without being asked to: it crashed, or something killed it.
    #[error("the runner {0}")]
    Exited(Exit),
    /// The runner refuses this call, and lives on.
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
        /// How long it was waited for.
        seconds: u64,
        /// How it ended.
        exit: Exit,
    },
    /// The reader of this answer did not take it for too long; the answer was cancelled, and the runner lives on.
    #[error(
        "the answer was cancelled, because its reader left {unread} bytes unread for {seconds} s"
    )]
    Slow {
        /// How long the reader was waited for.
        seconds: u64,
        /// Bytes of text that waited for it.
        unread: usize,
    },
    /// The runner was told to stop.
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

    /// A call that this side refuses, in the words of the other.
    pub(super) fn refused(kind: FailureKind, message: impl Into<String>) -> Self {
        Self::Failed(Failure {
            kind,
            message: message.into(),
        })
    }
}

/// How a runner ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Why it ended.
    pub cause: Cause,
    /// Exit code or signal.
    /// `None` when the kernel did not give the process back within two seconds of a kill, as happens below a broken driver;
    /// it is reaped whenever that ends.
    pub status: Option<ExitStatus>,
    /// The last lines that it wrote to its standard error, oldest first; at most 20.
    pub stderr: Vec<String>,
}

impl Exit {
    /// The end of a runner whose service was dropped with its runtime; the process is killed and reaped with it.
    pub(super) fn dropped() -> Self {
        Self {
            cause: Cause::Stopped,
            status: None,
            stderr: Vec::new(),
        }
    }

    /// The error for somebody who still waits for an answer of this runner.
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

    /// The signal that ended it, if one did.
    pub fn signal(&self) -> Option<i32> {
        self.status.and_then(|status| status.signal())
    }
}

/// The end of the process as a predicate: `ended with exit status: 1`.
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
    /// It crashed, left, or was killed by somebody else.
    Itself,
    /// It was told to stop, or nobody held it any more.
    Stopped,
    /// It did not introduce itself in time.
    Mute {
        /// How long it was waited for.
        seconds: u64,
    },
    /// It is of another build.
    Version {
        /// Version that it speaks.
        theirs: u32,
        /// How it calls itself.
        engine: String,
    },
    /// It showed no progress for too long.
    Stalled {
        /// How long it was waited for.
        seconds: u64,
    },
    /// It broke the protocol.
    Protocol(Arc<Violation>),
}

/// How a runner broke the protocol.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// Something that is no frame, or half of one.
    #[error(transparent)]
    Frame(#[from] frame::Error),
    /// A reply to a request that is over or never was.
    #[error("a reply to request {0}, which is not open")]
    NotOpen(u64),
    /// What became of a saved state that it cannot have been handed.
    #[error("the fate of state {0}, of which there are fewer")]
    NoState(u32),
    /// An event that does not belong to the answer of this call.
    #[error("an event `{event}` in the answer to `{call}`")]
    OutOfPlace {
        /// The event.
        event: &'static str,
        /// The call.
        call: &'static str,
    },
}
