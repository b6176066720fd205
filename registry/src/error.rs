//! The error of this crate, with variants by what the caller can do, and the errors of its modules.

pub(crate) mod credentials;
pub(crate) mod http;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod reference;
pub(crate) mod remote;
pub(crate) mod source;
pub(crate) mod transfer;

use std::{io, path::PathBuf};

use crate::{
    Digest, ModelName, digest::DigestError, manifest::ManifestError, name::NameError,
    relpath::RelPathError,
};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation on the store failed. Each message names the thing, and what helps where something does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a model name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The text is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The text is not a path inside a folder.
    #[error(transparent)]
    RelPath(#[from] RelPathError),
    /// No model has this name.
    #[error("model {name} not found")]
    NotFound {
        /// The name that was asked for.
        name: ModelName,
    },
    /// A blob that a request names is not here.
    #[error("blob {digest} is not in the store; send it first")]
    BlobNotFound {
        /// The blob.
        digest: Digest,
    },
    /// A blob that a recipe names has another digest. It was moved aside.
    #[error("blob {digest} {found}; send it again")]
    DamagedBlob {
        /// The blob.
        digest: Digest,
        /// What is wrong with it.
        found: Damage,
    },
    /// A blob or file is not a usable GGUF file.
    #[error("{what} is not a usable GGUF file: {reason}")]
    NotGguf {
        /// The blob or the file.
        what: String,
        /// What the strict reader says.
        reason: String,
    },
    /// A folder of weights cannot be made a GGUF file.
    #[error("these files cannot be converted")]
    Convert(#[from] crate::convert::Error),
    /// Weights in a layout that only Ollama's own engine reads cannot be brought into llama.cpp's.
    #[error("{what} cannot be run")]
    Translate {
        /// The blob or the file.
        what: String,
        /// Why not.
        source: crate::translate::Error,
    },
    /// The received bytes have another digest than announced.
    #[error("digest mismatch, expected \"{expected}\", got \"{found}\"")]
    DigestMismatch {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of the bytes that came.
        found: Digest,
    },
    /// More or fewer bytes came than announced.
    #[error("size mismatch for {what}: expected {expected} bytes, got {found}")]
    SizeMismatch {
        /// What was received, for people.
        what: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes received.
        found: u64,
    },
    /// The source of a blob's bytes failed before its end.
    #[error("receiving {what} failed")]
    Body {
        /// What was being received, for people.
        what: String,
        /// Why it stopped.
        source: io::Error,
    },
    /// A blob of a model is damaged. The model is not loaded.
    #[error("model {model} is damaged: blob {digest} {found}; {remedy}")]
    Damaged {
        /// The model that was asked for.
        model: ModelName,
        /// The blob that is wrong.
        digest: Digest,
        /// What is wrong with it.
        found: Damage,
        /// What helps.
        remedy: &'static str,
    },
    /// A model's manifest cannot be understood.
    #[error("the manifest of model {model} at {} is damaged: {source}; remove the model or pull it again", path.display())]
    DamagedManifest {
        /// The model.
        model: ModelName,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ManifestError>,
    },
    /// A layer that must be text or JSON is not.
    #[error("the {layer} layer of model {model} is unusable: {reason}")]
    BadLayer {
        /// The model.
        model: ModelName,
        /// Which layer, for people.
        layer: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// `FROM name@sha256:…`, and the base in the store has another digest.
    #[error("base model {name} is {found}, but {expected} was asked for")]
    BaseMismatch {
        /// The base.
        name: ModelName,
        /// The manifest digest that was asked for.
        expected: Digest,
        /// The manifest digest that is here.
        found: Digest,
    },
    /// What `create` was asked for cannot be made.
    #[error("{reason}")]
    Invalid {
        /// Why not.
        reason: String,
    },
    /// Another process works on the same folder.
    #[error("{} is in use by another slmd{}; stop it first, or choose another folder", home.display(), holder(*pid))]
    Locked {
        /// The folder.
        home: PathBuf,
        /// The other process, where it is known.
        pid: Option<u32>,
    },
    /// The index was written by a newer version.
    #[error("{} has schema version {found}, this version knows up to {known}; use the version of slm that wrote it, or a newer one", path.display())]
    NewerSchema {
        /// The index.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// The index cannot be read or written.
    #[error("the index {} failed", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The index file itself is broken.
    #[error("the index {} is damaged; move it away and start again, it is made anew from the model files", path.display())]
    DamagedIndex {
        /// The index.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The file system is full.
    #[error("no space left for {}: at least {needed} bytes needed, {available} available", path.display())]
    NoSpace {
        /// The file that could not be written.
        path: PathBuf,
        /// Bytes that it still needs, at least.
        needed: u64,
        /// Bytes that the file system has.
        available: u64,
    },
    /// Something stands in the place of a file or a folder of the store that is neither.
    #[error("{} is {found}, which a store does not hold; it is not touched", path.display())]
    NotRegular {
        /// The path.
        path: PathBuf,
        /// What stands there.
        found: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, such as `open`.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A background thread ended without an answer, which is a bug.
    #[error("an internal task ended early")]
    Task(#[source] tokio::task::JoinError),
    /// The text does not name a model.
    #[error(transparent)]
    Reference(#[from] reference::ReferenceError),
    /// A server could not be asked.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A place on the network does not have the model.
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// A blob could not be brought here.
    #[error(transparent)]
    Transfer(#[from] transfer::Error),
    /// A source did not deliver.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// A model could not be pushed.
    #[error(transparent)]
    Push(#[from] push::Error),
    /// Logins cannot be looked up or kept.
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    /// A model could not be pulled.
    #[error(transparent)]
    Pull(#[from] pull::Error),
}

/// What is wrong with a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// It is not there.
    Missing,
    /// It has another size than its manifest states.
    Size {
        /// Bytes by the manifest.
        expected: u64,
        /// Bytes on disk.
        found: u64,
    },
    /// Its bytes have another digest.
    Bytes {
        /// The digest they have.
        found: Digest,
    },
    /// It is a link, a folder or a device.
    NotRegular(&'static str),
    /// It is not the GGUF file that it should be.
    Gguf(String),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Size { expected, found } => write!(f, "has {found} bytes instead of {expected}"),
            Self::Bytes { found } => write!(f, "holds other bytes, their digest is {found}"),
            Self::NotRegular(what) => write!(f, "is {what} instead of a regular file"),
            Self::Gguf(reason) => write!(f, "is not a usable GGUF file: {reason}"),
        }
    }
}

/// An error with its causes.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})"))
        .unwrap_or_default()
}

impl Error {
    /// Whether the same operation may succeed later without a change of the request: the network failed, or the disk is full.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Http(error) => error.is_transient(),
            Self::Remote(error) => error.is_transient(),
            Self::Transfer(error) => error.is_transient(),
            Self::Pull(error) => error.is_transient(),
            Self::Push(push::Error::Http(error)) => error.is_transient(),
            Self::NoSpace { .. } => true,
            _ => false,
        }
    }

    /// What helps, as a sentence for the line `hint:`; `None` where the message says it all.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NoSpace { .. } => {
                Some("free some space, then try again; what was fetched before is kept and counts")
            }
            Self::Http(error) => error.hint(),
            Self::Remote(error) => error.hint(),
            Self::Transfer(error) => error.hint(),
            Self::Source(error) => error.hint(),
            Self::Pull(error) => error.hint(),
            Self::Credentials(error) => error.hint(),
            Self::Push(error) => error.hint(),
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } => {
                Some("the transfer or its source is damaged; try again")
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_that_the_network_ended_may_be_tried_again() {
        let broken = http::Error::Broken {
            host: "reg.example".to_owned(),
            reason: "reset".to_owned(),
            via: None,
        };
        assert!(Error::from(push::Error::Http(broken)).is_transient());
        assert!(!Error::from(push::Error::MediaType).is_transient());
    }
}
