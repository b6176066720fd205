//! Why a blob was not fetched.

use super::http;
use crate::Digest;

/// Why a blob was not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A request failed permanently, or too often.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The transfer stalled.
    #[error(
        "{host} made no progress for {seconds} s; the received bytes are kept, and the next pull continues"
    )]
    Stalled {
        /// The host and path.
        host: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The server asks for too long a wait.
    #[error(
        "{host} asks for a wait of {seconds} s; the received bytes are kept, and the next pull continues"
    )]
    Busy {
        /// The host and path.
        host: String,
        /// How long.
        seconds: u64,
    },
    /// The connection was closed before the last byte, again and again.
    #[error("{host} closed the connection before the last byte, {times} times in a row")]
    Short {
        /// The host and path.
        host: String,
        /// How often.
        times: u32,
    },
    /// A response does not have the requested range.
    #[error("{host} does not send the requested bytes: {reason}")]
    Part {
        /// The host and path.
        host: String,
        /// What is wrong with the response.
        reason: String,
    },
    /// An HTML page came instead of the file.
    #[error("{host} sends a web page instead of the file{}", titled(.title))]
    Page {
        /// The host and path.
        host: String,
        /// The page's title.
        title: String,
    },
    /// The file is another one than a moment ago.
    #[error("the file at {host} was replaced while it was fetched")]
    Replaced {
        /// The host and path.
        host: String,
    },
    /// The bytes have another digest than announced, also after a second transfer.
    #[error("{host} sends other bytes than it announces, twice: expected {expected}, got {found}")]
    Digest {
        /// The host and path.
        host: String,
        /// The digest that was announced.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
}

impl Error {
    /// Whether the same transfer may well succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Http(error) => error.is_transient(),
            Self::Stalled { .. } | Self::Busy { .. } | Self::Short { .. } => true,
            _ => false,
        }
    }

    /// What helps, where something does.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http(error) => error.hint(),
            Self::Page { .. } => Some(
                "a proxy or the login page of a network stands between; open the address in a browser to see",
            ),
            Self::Digest { .. } => Some(
                "the source or something on the way to it is damaged; try again later, or from another network",
            ),
            Self::Stalled { .. } | Self::Short { .. } => {
                Some("check the connection, then pull again")
            }
            _ => None,
        }
    }
}

fn titled(title: &str) -> String {
    if title.is_empty() {
        String::new()
    } else {
        format!(", titled {title:?}")
    }
}
