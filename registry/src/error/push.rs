//! Why a model could not be pushed.

use super::http::{self, quoted};
use crate::Digest;

/// Why a model could not be pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry could not be asked, or refused.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The destination is not a tag in a registry, or the registry does not accept its name.
    #[error("a model cannot be pushed to {name}: {reason}")]
    Destination {
        /// What was given.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The destination is another machine by `http://`, and the push does not allow a connection without TLS.
    #[error(
        "{name} would be pushed without TLS, so that anybody on the way can read and change it"
    )]
    Insecure {
        /// The destination.
        name: String,
    },
    /// The user may not write there.
    #[error("no permission to push to {repository}")]
    Forbidden {
        /// Host and repository.
        repository: String,
        /// What the registry says.
        source: http::Error,
    },
    /// The request exceeds a size limit of the host or of a proxy.
    #[error("{host}, or a proxy before it, accepts no request of this size (413){}", quoted(.said))]
    TooLarge {
        /// The host.
        host: String,
        /// What it says.
        said: String,
    },
    /// The registry accepted a part of a blob, and then states that it has no byte of it.
    #[error("{host} accepted a part of a blob, and kept nothing of it")]
    NothingKept {
        /// The host.
        host: String,
    },
    /// The registry states another digest than that of the sent manifest.
    #[error("{host} states another manifest than was sent: expected {expected}, got {found}")]
    OtherManifest {
        /// The host.
        host: String,
        /// The digest of what was sent.
        expected: Digest,
        /// The digest that the registry states.
        found: Digest,
    },
    /// The stored manifest has a media type that cannot stand in a header.
    #[error("the media type of the manifest cannot be sent")]
    MediaType,
}

impl Error {
    /// The remedy, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http(error) => error.hint(),
            Self::Forbidden { .. } => Some(
                "`slm login HOST` gives slm a login, and `slm login --list` shows those that it has; for the Ollama library, add the key that `slm login --show-key` shows to your account there, and push to your own namespace",
            ),
            Self::Insecure { .. } => Some("allow it for this push with `--insecure`"),
            Self::TooLarge { .. } => Some(
                "raise the limit there (nginx: client_max_body_size 0), or push without the proxy",
            ),
            Self::OtherManifest { .. } => {
                Some("a proxy may have changed the manifest; push again, or without the proxy")
            }
            Self::NothingKept { .. } | Self::Destination { .. } | Self::MediaType => None,
        }
    }
}
