//! Errors of parameters.

use crate::suggest;

use super::spec::{MAX_TEXT_BYTES, MAX_TEXTS, ParameterSpec, Retired, retired, specs};

/// Why a parameter was refused. [`hint`](Self::hint) gives the remedy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such parameter.
    #[error("unknown parameter `{name}`")]
    Unknown {
        /// The name as given, safe to display.
        name: String,
    },
    /// The parameter no longer has an effect.
    #[error("parameter `{}` is retired and has no effect", .0.name)]
    Retired(&'static Retired),
    /// The value has the wrong type or is out of range.
    #[error("`{}` must be {}, not {found}", spec.name, spec.kind)]
    Invalid {
        /// The parameter.
        spec: &'static ParameterSpec,
        /// The value as given, safe to display.
        found: String,
    },
    /// An empty text of a list, which would match everywhere.
    #[error("a `{0}` text must not be empty")]
    EmptyText(&'static str),
    /// A text of a list that is too long.
    #[error(
        "a `{name}` text must not be longer than {MAX_TEXT_BYTES} bytes, and this one has {bytes}"
    )]
    LongText {
        /// The parameter.
        name: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A list with too many texts.
    #[error("there must not be more than {MAX_TEXTS} `{0}` texts")]
    ManyTexts(&'static str),
}

impl Error {
    /// The remedy, if there is one: a phrase without a full stop.
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

    /// Whether the parameter may be left out with a warning.
    ///
    /// True for unknown and retired names: a caller that serves clients of other programs warns about
    /// them and continues. A wrong value is never ignorable.
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
