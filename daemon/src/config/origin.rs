//! Where a setting comes from.

use std::path::PathBuf;

/// The origin of a setting. A later variant overrides an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingOrigin {
    /// The default in the table of keys.
    Default,
    /// A variable of Ollama that means the same as the key.
    Ollama(&'static str),
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// An option of the command line, with the name of its key.
    Flag(&'static str),
}

impl std::fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Environment(name) | Self::Ollama(name) => {
                write!(f, "environment variable {name}")
            }
            Self::Flag(name) => write!(f, "option --{}", name.replace('_', "-")),
        }
    }
}
