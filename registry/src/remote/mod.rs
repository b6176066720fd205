//! Models on the network.
//!
//! - `distribution`: registries that speak the OCI distribution protocol, Ollama's among them; `index` chooses a manifest out of a
//!   list, `artifact` reads layouts other than Ollama's.
//! - `hub`: repositories of the Hugging Face hub and its mirrors.
//! - `web`: a single file at a URL.
//!
//! Each lists the files of a model, with the sizes and digests that the place states, as a `RemoteModel`. It fetches no weights: that is
//! what [`crate::transfer`] does. `upload` is the other direction, to registries.

pub(crate) mod artifact;
mod auth;
pub(crate) mod distribution;
pub(crate) mod hub;
mod index;
mod pick;
mod upload;
pub(crate) mod web;

use reqwest::Url;
use reqwest::header::HeaderMap;

use crate::Digest;
use crate::http::shown;

pub(crate) use self::auth::Auth;
pub(crate) use self::pick::{Listed, pick, quantization};
pub(crate) use self::upload::{Blob, Content, Sent, Upload};
pub use crate::error::remote::Error;

/// The digest that a registry states for a manifest, where it does.
fn stated_digest(headers: &HeaderMap) -> Option<Digest> {
    let value = headers.get("docker-content-digest")?;
    Digest::parse(value.to_str().ok()?).ok()
}

/// The URL of a file, with the credentials for it.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// The URL; it may redirect.
    pub(crate) url: Url,
    /// The credentials for that origin.
    pub(crate) auth: Auth,
    /// The entity tag that identifies this state of the file, where its digest is not known.
    pub(crate) validator: Option<String>,
}

impl Endpoint {
    /// The URL for people, without secrets.
    pub(crate) fn shown(&self) -> String {
        shown(&self.url)
    }
}

/// A file that belongs to a model.
#[derive(Debug, Clone)]
pub(crate) struct RemoteFile {
    /// What it is called there.
    pub(crate) title: String,
    /// Its size in bytes.
    pub(crate) size: Option<u64>,
    /// Its digest.
    pub(crate) digest: Option<Digest>,
    /// The id that git gives to it, where that is all that is told: the hub has it for small files.
    pub(crate) git_id: Option<String>,
    /// Where it is.
    pub(crate) endpoint: Endpoint,
}

impl RemoteFile {
    /// What identifies the bytes before they are here.
    pub(crate) fn key(&self) -> Digest {
        self.digest.unwrap_or_else(|| {
            let validator = self.endpoint.validator.as_deref().unwrap_or_default();
            let size = self.size.map(|size| size.to_string()).unwrap_or_default();
            let mut url = self.endpoint.url.clone();
            // Signatures differ from one time to the next.
            url.set_query(None);
            Digest::of(format!("{url}\n{validator}\n{size}").as_bytes())
        })
    }
}

/// What a place has of a model.
#[derive(Debug, Clone)]
pub(crate) struct RemoteModel {
    /// The place in words, with what pins it: a commit, a digest.
    pub(crate) place: String,
    /// What was chosen, out of what, and why; one line each.
    pub(crate) steps: Vec<String>,
    /// The files, weights first.
    pub(crate) files: Vec<RemoteFile>,
    /// How they become a model.
    pub(crate) recipe: Recipe,
}

/// A variant of a model at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteVariant {
    /// What a reference asks for.
    pub(crate) name: String,
    /// Its quantization in capitals; empty where the name tells none.
    pub(crate) quantization: String,
    /// Bytes of its weights and its projector, where the place tells.
    pub(crate) size: Option<u64>,
    /// The digest of its weights, if they are one file and the place tells.
    pub(crate) digest: Option<Digest>,
    /// Whether the place takes it when none is asked for.
    pub(crate) is_usual: bool,
}

/// How files become a model.
#[derive(Debug, Clone)]
pub(crate) enum Recipe {
    /// The manifest says it, and is kept byte for byte.
    Manifest(Vec<u8>),
    /// Their own headers say what they are; a few texts beside them go into the model.
    Files(Box<Beside>),
    /// Each is a layer of an artifact that is not Ollama's.
    Artifact {
        /// What each of them holds.
        roles: Vec<artifact::Role>,
        /// The digest of its manifest.
        digest: Digest,
    },
}

/// Texts beside the weights in a repository, in Ollama's forms.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Beside {
    /// Go template of the prompt.
    pub(crate) template: Option<String>,
    /// Chat template (Jinja).
    pub(crate) chat_template: Option<String>,
    /// System prompt.
    pub(crate) system: Option<String>,
    /// Parameters (JSON).
    pub(crate) parameters: modelfile::Parameters,
    /// The licence.
    pub(crate) license: Option<String>,
    /// The digest of the artifact's manifest.
    pub(crate) made_from: Option<Digest>,
}
