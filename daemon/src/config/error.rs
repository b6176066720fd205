//! Mistakes in the configuration.

use std::path::PathBuf;

use super::SettingOrigin;
use crate::fs;

/// A mistake in the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An unknown key.
    #[error("{origin}: {}", self.reason())]
    Unknown {
        /// Its origin.
        origin: SettingOrigin,
        /// The text of the key.
        key: String,
        /// The nearest known key.
        nearest: Option<&'static str>,
    },
    /// An invalid value.
    #[error("{origin}: {}", self.reason())]
    Value {
        /// Its origin.
        origin: SettingOrigin,
        /// Name of the key; for a setting per model with the names above it, separated by dots.
        key: String,
        /// The mistake, and valid values.
        problem: String,
    },
    /// The file is not YAML, or not a mapping.
    #[error("{}{}: {problem}", path.display(), at(*line))]
    File {
        /// The file.
        path: PathBuf,
        /// Line of the mistake, from 1, if it is known.
        line: Option<usize>,
        /// The mistake.
        problem: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] fs::Error),
    /// The home is not configured, and the user has no home directory.
    #[error("no home directory is known; set SLM_HOME or pass --home DIR")]
    NoHome,
}

impl Error {
    /// The mistake, without its origin.
    pub fn reason(&self) -> String {
        match self {
            Self::Unknown { key, nearest, .. } => {
                format!("unknown key {key:?}{}", suggestion(nearest.as_ref()))
            }
            Self::Value { key, problem, .. } => format!("{key}: {problem}"),
            Self::File { problem, .. } => problem.clone(),
            Self::Read(_) | Self::NoHome => self.to_string(),
        }
    }
}

pub(super) fn suggestion(nearest: Option<&&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

fn at(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" line {line}"))
}
