//! What can be wrong with a parameter.

use crate::suggest;

use super::spec::{ParameterSpec, Retired};
use super::value::MAX_TEXT_BYTES;
use super::{MAX_TEXTS, retired, specs};

/// A parameter that was not taken, and why. [`hint`](Self::hint) says what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such parameter.
    #[error("unknown parameter `{name}`")]
    Unknown {
        /// The name that was given, made fit for display.
        name: String,
    },
    /// The parameter has no effect any more.
    #[error("parameter `{}` is retired and has no effect", .0.name)]
    Retired(&'static Retired),
    /// The value has the wrong type or is out of range.
    #[error("`{}` must be {}, not {found}", spec.name, spec.kind)]
    Invalid {
        /// The parameter.
        spec: &'static ParameterSpec,
        /// The value that was given, made fit for display.
        found: String,
    },
    /// A text to watch for that would be found everywhere.
    #[error("a `{0}` text must not be empty")]
    EmptyText(&'static str),
    /// A text that is too long to watch for.
    #[error(
        "a `{name}` text must not be longer than {MAX_TEXT_BYTES} bytes, and this one has {bytes}"
    )]
    LongText {
        /// The parameter.
        name: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// More texts than can be watched for.
    #[error("there must not be more than {MAX_TEXTS} `{0}` texts")]
    ManyTexts(&'static str),
}

impl Error {
    /// What to do about it, where that is known: half a sentence without a full stop.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name } => suggest::nearest(name, known_names())
                .map(|nearest| format!("did you mean `{nearest}`?")),
            Self::Retired(entry) => Some(entry.reason.to_owned()),
            Self::Invalid { .. }
            | Self::EmptyText(_)
            | Self::LongText { .. }
            | Self::ManyTexts(_) => None,
        }
    }

    /// Whether going on without the parameter does what was meant as well as can be.
    ///
    /// True for unknown and retired names: a caller that serves foreign clients warns about those
    /// and goes on. A wrong value is never ignorable.
    pub fn is_ignorable(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Retired(_))
    }
}

fn known_names() -> impl Iterator<Item = &'static str> {
    specs()
        .iter()
        .map(|spec| spec.name)
        .chain(retired().iter().map(|entry| entry.name))
}
