//! Errors between the client and the daemon.

use std::path::PathBuf;

use api::ErrorBody;

use crate::exit::Exit;

/// Why a request to the daemon failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// No daemon listens, or the connection is not permitted.
    #[error("no daemon answers at {tried}: {}", in_words(.reason))]
    Unreachable {
        /// The address that was tried.
        tried: String,
        /// The error of the last attempt.
        reason: std::io::Error,
        /// The remedy.
        hint: String,
    },
    /// The daemon of this home does not run.
    #[error("no daemon is running for `{}`", .0.display())]
    NotRunning(PathBuf),
    /// The daemon's program is missing.
    #[error("no daemon answers, and `{}` is not there to start one", .0.display())]
    NoProgram(PathBuf),
    /// A started daemon ended or did not answer.
    #[error("the daemon was started and {what}{}", quoted(.log_tail))]
    Start {
        /// What it did.
        what: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of its log.
        log_tail: String,
    },
    /// The daemon refused the request.
    #[error("{}", .body.error)]
    Refused {
        /// Status; `None` if the stream had begun.
        status: Option<u16>,
        /// Its message.
        body: ErrorBody,
    },
    /// The answer ended before its last event.
    #[error("the daemon's answer was cut off before its end")]
    Cut,
    /// The daemon closed the connection, usually because its process ended.
    #[error("the daemon closed the connection before its answer was complete")]
    Ended,
    /// The connection failed in the middle of a request.
    #[error("the connection to the daemon broke before the answer was complete")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer violates the protocol.
    #[error("the daemon's answer cannot be read: {0}")]
    Garbled(String),
}

impl Error {
    /// An error of the connection. A daemon that ended gets an error without the words of the HTTP library.
    pub(crate) fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let error = error.into();
        if is_end(&*error) {
            Self::Ended
        } else {
            Self::Broken(error)
        }
    }

    /// Whether the model does not exist.
    ///
    /// Ollama gives no code, only the status.
    pub(crate) fn is_missing_model(&self) -> bool {
        match self {
            Self::Refused { status, body } => match body.code.as_deref() {
                Some(code) => code == "model_not_found",
                None => *status == Some(404) && body.error.contains("not found"),
            },
            _ => false,
        }
    }

    /// The same error with a remedy that does not offer a pull.
    #[must_use]
    pub(crate) fn without_fetching(mut self) -> Self {
        let missing = self.is_missing_model();
        if let Self::Refused { body, .. } = &mut self
            && missing
        {
            body.hint = Some("`slm list` shows the models on disk".to_owned());
        }
        self
    }

    /// Stable code; the daemon's, if it gave one.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Unreachable { .. } | Self::NotRunning(_) => "daemon_unreachable",
            Self::NoProgram(_) => "daemon_missing",
            Self::Start { .. } => "daemon_start_failed",
            Self::Refused { body, .. } => body.code.as_deref().unwrap_or("refused"),
            Self::Cut => "answer_cut",
            Self::Broken(_) | Self::Ended => "connection_broken",
            Self::Garbled(_) => "answer_garbled",
        }
    }

    /// The remedy, if there is one.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { hint, .. } => Some(hint.clone()),
            Self::NotRunning(_) => {
                Some("`slm serve` starts one, and so does any command that needs one".to_owned())
            }
            Self::NoProgram(_) => {
                Some("install `slmd` next to `slm`, or name a daemon with --host".to_owned())
            }
            Self::Start { log, .. } => Some(format!("its log is `{}`", log.display())),
            Self::Refused { body, .. } => body.hint.clone(),
            Self::Cut | Self::Ended | Self::Broken(_) => Some(
                "its log (`slm logs`) may show the reason; the request can be repeated".to_owned(),
            ),
            Self::Garbled(_) => {
                Some("`slm version` shows whether slm and slmd have the same version".to_owned())
            }
        }
    }

    /// The exit status of `slm`.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. }
            | Self::NotRunning(_)
            | Self::NoProgram(_)
            | Self::Start { .. } => Exit::Unreachable,
            Self::Refused { .. } | Self::Cut | Self::Ended | Self::Broken(_) | Self::Garbled(_) => {
                Exit::Failed
            }
        }
    }
}

/// Whether the other side closed the connection, usually because its process ended.
fn is_end(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let mut cause = Some(error);
    while let Some(error) = cause {
        let is_io_end = error.downcast_ref::<std::io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
            )
        });
        let is_http_end = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_closed());
        if is_io_end || is_http_end {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The system's message without its number.
fn in_words(reason: &std::io::Error) -> String {
    let text = reason.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

fn quoted(log_tail: &str) -> String {
    let mut text = String::new();
    for line in log_tail.lines() {
        text.push_str("\n  | ");
        text.push_str(line);
    }
    text
}
