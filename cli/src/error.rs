//! The one place where an error becomes text.
//!
//! A failure is a line `error: what failed: why`, lower-case, and where there is a remedy a line
//! `hint: what to do`. With `--json` it is one object `{"error", "code", "hint"}` on standard error,
//! so that standard output holds only what was asked for.

use api::ErrorBody;

use crate::client;
use crate::exit::Exit;

/// A failure that the client itself finds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    code: &'static str,
    exit: Exit,
}

impl Failure {
    /// Something was understood and cannot be done.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            code: "failed",
            exit: Exit::Failed,
        }
    }

    /// Something was not understood.
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

    /// Gives it a name for machines.
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

/// Whoever read our standard output is gone, which is no failure: `slm list | head -1`.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("nobody reads the output")]
pub(crate) struct ReaderGone;

/// A failure, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// How `slm` ends.
    pub(crate) exit: Exit,
    /// What to show; `None` for an end that needs no words.
    pub(crate) body: Option<ErrorBody>,
}

impl Report {
    /// What is to be shown of `error`.
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

/// The same as [`Report::of`] for a client's error.
impl From<client::Error> for Report {
    fn from(error: client::Error) -> Self {
        Self::of(&error.into())
    }
}

fn find<E: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref::<E>())
}

/// All causes in one line, outermost first. A cause whose words its parent already said is left out.
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
    fn causes_stand_in_one_line_and_the_hint_is_found_below_them() {
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
    fn ctrl_c_and_a_closed_pipe_need_no_words() {
        let report = Report::of(&Interrupted.into());
        assert_eq!((report.exit, report.body), (Exit::Interrupted, None));
        let report = Report::of(&ReaderGone.into());
        assert_eq!((report.exit, report.body), (Exit::Ok, None));
    }
}
