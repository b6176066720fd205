//! Why logins cannot be looked up or kept.

use std::path::PathBuf;

/// Why logins cannot be looked up or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is not valid.
    #[error("the logins in {} cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, without its content.
        reason: String,
    },
    /// A credential helper of Docker failed.
    #[error("docker-credential-{name}, which {} names, failed: {reason}", path.display())]
    Helper {
        /// Its name.
        name: String,
        /// The file that names it.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The text is not the host of a registry.
    #[error("{host:?} is not a host name with an optional port, as in registry.example:5000")]
    Host {
        /// What was given.
        host: String,
    },
    /// The registry refused the login, which is therefore not stored.
    #[error("{host} refused this login, so it was not stored: {reason}")]
    Refused {
        /// The host.
        host: String,
        /// What it says.
        reason: String,
    },
    /// The registry wants another kind of login.
    #[error("{host} {reason}")]
    Kind {
        /// The host.
        host: String,
        /// What it wants.
        reason: &'static str,
    },
}

impl Error {
    /// What helps, where something does.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File { .. } => Some("repair the file or move it away, and log in again"),
            Self::Helper { .. } => {
                Some("`slm login HOST` keeps a login of slm's own, for which no helper is asked")
            }
            Self::Refused { .. } => Some(
                "check name and password; many registries want an access token in place of the password",
            ),
            Self::Host { .. } | Self::Kind { .. } => None,
        }
    }
}
