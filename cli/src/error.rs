//! The only file where an error becomes text.
//!
//! A failure is a line `error: what failed: why`, in lower case, and a line `hint: what to do` if there
//! is a remedy. With `--json` it is one object `{"error", "code", "hint"}` on standard error, so that
//! standard output contains only results.

pub(crate) mod client;

use api::ErrorBody;

use crate::exit::Exit;

/// A failure found by the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    code: &'static str,
    exit: Exit,
}

impl Failure {
    /// A failure of a valid command.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            code: "failed",
            exit: Exit::Failed,
        }
    }

    /// A mistake in the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            code: "usage",
            exit: Exit::Usage,
        }
    }

    /// Adds the remedy.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the stable code.
    #[must_use]
    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }
}

/// Ctrl-C was pressed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// The reader of standard output closed it, which is no failure: `slm list | head -1`.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the reader of the output is gone")]
pub(crate) struct ReaderGone;

/// A failure as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// The exit status.
    pub(crate) exit: Exit,
    /// The message; `None` for an end without one.
    pub(crate) body: Option<ErrorBody>,
}

impl Report {
    /// The report of `error`.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        if error.is::<ReaderGone>() {
            return Self {
                exit: Exit::Ok,
                body: None,
            };
        }
        if error.is::<Interrupted>() {
            return Self {
                exit: Exit::Interrupted,
                body: None,
            };
        }
        let (exit, code, hint) = if let Some(failure) = find::<Failure>(error) {
            (
                failure.exit,
                Some(failure.code.to_owned()),
                failure.hint.clone(),
            )
        } else if let Some(failure) = find::<client::Error>(error) {
            (
                failure.exit(),
                Some(failure.code().to_owned()),
                failure.hint(),
            )
        } else {
            (Exit::Failed, Some("failed".to_owned()), None)
        };
        Self {
            exit,
            body: Some(ErrorBody {
                error: chain(error),
                code,
                hint,
            }),
        }
    }
}

/// As [`Report::of`], for a client's error.
impl From<client::Error> for Report {
    fn from(error: client::Error) -> Self {
        Self::of(&error.into())
    }
}

fn find<E: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref::<E>())
}

/// All causes in one line, outermost first. A cause that its parent already quotes is left out.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let words = cause.to_string();
        if text.is_empty() {
            text = words;
        } else if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn causes_are_one_line_and_the_hint_of_a_cause_is_found() {
        let error = Err::<(), _>(
            Failure::new("no such thing")
                .hint("look elsewhere")
                .code("lost"),
        )
        .context("cannot create `x`")
        .unwrap_err();
        let report = Report::of(&error);
        assert_eq!(report.exit, Exit::Failed);
        assert_eq!(
            report.body,
            Some(ErrorBody {
                error: "cannot create `x`: no such thing".to_owned(),
                code: Some("lost".to_owned()),
                hint: Some("look elsewhere".to_owned()),
            })
        );
    }

    #[test]
    fn ctrl_c_and_a_closed_pipe_have_no_message() {
        let report = Report::of(&Interrupted.into());
        assert_eq!((report.exit, report.body), (Exit::Interrupted, None));
        let report = Report::of(&ReaderGone.into());
        assert_eq!((report.exit, report.body), (Exit::Ok, None));
    }
}
