//! Why a model could not be pulled.

use super::in_full;
use crate::{Digest, ModelName};

/// Why a model could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a catalog nor the Ollama library has the name.
    #[error("there is no model {name}: no catalog has it, and {asked} has none of this name{}", or_these(.suggestions))]
    Unknown {
        /// The name.
        name: ModelName,
        /// Which registry was asked.
        asked: String,
        /// Names that may have been meant, the likeliest first.
        suggestions: Vec<ModelName>,
    },
    /// A variant was asked for that there is not.
    #[error("{name} has no variant {wanted:?}{}", these(.known))]
    NoVariant {
        /// The name.
        name: ModelName,
        /// The variant.
        wanted: String,
        /// The variants that the catalog names.
        known: Vec<String>,
    },
    /// A connection without TLS to another machine was asked for, and not allowed.
    #[error(
        "{name} would be fetched without TLS, so that anybody on the way can read the request and answer it"
    )]
    Insecure {
        /// What was asked for.
        name: String,
    },
    /// An address in the configuration is invalid.
    #[error("{what}: {text:?} is not the URL of a server, such as https://mirror.example")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// What it says.
        text: String,
    },
    /// No place delivered.
    #[error("{name} could not be fetched{}{}", unknown(*.in_catalog), each(.failures))]
    Failed {
        /// The name.
        name: ModelName,
        /// Whether a catalog has the name; nothing where none was asked.
        in_catalog: Option<bool>,
        /// Each place that was tried, in order, and why it did not deliver.
        failures: Vec<Failure>,
    },
    /// A place has other bytes than the catalog says.
    #[error("its weights are not those of the catalog: expected {expected}, got {found}")]
    NotTheCatalogs {
        /// The digest by the catalog.
        expected: Digest,
        /// The digest by the place.
        found: Digest,
    },
}

/// A place that did not deliver.
#[derive(Debug)]
pub struct Failure {
    /// The place, in words.
    pub place: String,
    /// Why.
    pub error: Box<crate::Error>,
}

impl Error {
    /// Whether the same pull may succeed later: a place could not be reached, or the connection broke.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Failed { failures, .. } => {
                failures.iter().any(|failure| failure.error.is_transient())
            }
            _ => false,
        }
    }

    /// What helps, where something does.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unknown { .. } => Some(
                "`slm pull hf.co/OWNER/REPOSITORY` takes a model from the hub, and a file of your own becomes one with `slm create`",
            ),
            Self::NoVariant { .. } => Some(
                "`slm list --variants NAME` shows the variants of a name; a name with a file, a digest or a quantization has one variant, and so has an entry of a catalog with a digest",
            ),
            Self::Insecure { .. } => {
                Some("allow it for this pull with `--insecure`; digests are checked all the same")
            }
            Self::Failed { failures, .. } => {
                failures.iter().find_map(|failure| failure.error.hint())
            }
            Self::Setting { .. } | Self::NotTheCatalogs { .. } => None,
        }
    }
}

fn these(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; there are {}", names.join(", ")),
    }
}

fn or_these(names: &[ModelName]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}

fn unknown(in_catalog: Option<bool>) -> &'static str {
    match in_catalog {
        Some(false) => " (no catalog has it)",
        _ => "",
    }
}

fn each(failures: &[Failure]) -> String {
    failures
        .iter()
        .map(|failure| format!("; tried {}: {}", failure.place, in_full(&failure.error)))
        .collect()
}
