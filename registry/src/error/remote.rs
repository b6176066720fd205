//! Why a model was not found on the network.

use super::http;
use crate::Digest;

/// Why a model was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The place could not be asked, or refused.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The model is gated: the user has to accept its terms on the hub.
    #[error("{place} is gated; it was requested {whose}")]
    Gated {
        /// The repository.
        place: String,
        /// With which token, by where it was found.
        whose: String,
        /// Whether there was a token at all.
        has_token: bool,
    },
    /// The place does not have the model.
    #[error("{host} has no {what}")]
    NotFound {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// The repository has no file that was asked for.
    #[error("{place} has {}", choice(.wanted, .choices))]
    NoSuchFile {
        /// The repository.
        place: String,
        /// What was asked for; nothing stands for any weights.
        wanted: Option<String>,
        /// What can be asked for.
        choices: Vec<String>,
    },
    /// A split file whose parts are not all there.
    #[error("{place} has only {found} of the {count} parts of {name}")]
    Incomplete {
        /// The repository.
        place: String,
        /// The first part.
        name: String,
        /// Parts there.
        found: usize,
        /// Parts by their names.
        count: usize,
    },
    /// A document is not valid.
    #[error("what {host} sends as {what} cannot be used: {reason}")]
    Document {
        /// The host.
        host: String,
        /// The document.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest is another one than was asked for.
    #[error("{host} sends another manifest than requested: expected {expected}, got {found}")]
    Digest {
        /// The host.
        host: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// No manifest of an index is for llama.cpp.
    #[error("{host} has the model only in formats that slm cannot run: {}", forms.join(", "))]
    NoForm {
        /// The host.
        host: String,
        /// The forms.
        forms: Vec<String>,
    },
}

impl Error {
    /// Whether the same question may well be answered later.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_transient())
    }

    /// What helps, where something does.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http(error) => error.hint(),
            Self::Gated {
                has_token: true, ..
            } => Some(
                "its terms are not accepted yet by the account of this token; accept them on the model's page",
            ),
            Self::Gated { .. } => Some(
                "accept its terms on the model's page, then log in with a token of that account: `slm login hf.co`",
            ),
            Self::Digest { .. } | Self::Document { .. } => Some(
                "a proxy may answer in its place, or the source is damaged; `slm pull --explain NAME` shows where it was asked",
            ),
            _ => None,
        }
    }
}

fn choice(wanted: &Option<String>, choices: &[String]) -> String {
    let shown = choices
        .iter()
        .take(12)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let more = match choices.len().checked_sub(12) {
        Some(more) if more > 0 => format!(" and {more} more"),
        _ => String::new(),
    };
    match (wanted, choices) {
        (None, _) => "no weights in GGUF".to_owned(),
        (Some(wanted), []) => format!("no file for {wanted:?}, and no weights in GGUF at all"),
        (Some(wanted), _) => format!("no file for {wanted:?}; there are {shown}{more}"),
    }
}
