//! The door to everything on disk.

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::Stream;
use modelfile::{Message, Parameters};

use crate::{Damage, Digest, Model, ModelEntry, ModelName, Ready, Reporter, Result, Shown};

/// How to open a [`Registry`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that holds everything. Made if it is not there.
    pub home: PathBuf,
}

/// Everything on disk. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Registry(Arc<()>);

/// A base model, perhaps pinned to one manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    /// Its name.
    pub name: ModelName,
    /// The manifest digest that it must have.
    pub digest: Option<Digest>,
}

/// What a new model is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// A model that is here; what the recipe does not say is inherited.
    Model(ModelRef),
    /// GGUF files that are in the store as blobs: weights, and perhaps projectors. Each file's own header says what it is.
    Blobs(Vec<Digest>),
}

/// The recipe of a model, with every file already in the store.
#[derive(Debug, Clone)]
pub struct Create {
    /// The name it gets; a model that has it is replaced.
    pub name: ModelName,
    /// What it is made from.
    pub from: Base,
    /// LoRA adapters (GGUF), which replace inherited ones; none inherits.
    pub adapters: Vec<Digest>,
    /// A smaller model that drafts tokens (GGUF).
    pub draft: Option<Digest>,
    /// Go template of the prompt; the empty text takes an inherited one away.
    pub template: Option<String>,
    /// System prompt; the empty text takes an inherited one away.
    pub system: Option<String>,
    /// Parameters; laid over inherited ones.
    pub parameters: Parameters,
    /// Example conversation; replaces an inherited one whole, none inherits.
    pub messages: Vec<Message>,
    /// Texts of licences; added to inherited ones.
    pub licenses: Vec<String>,
    /// Oldest version that can run the model.
    pub requires: Option<String>,
    /// Id of a built-in prompt renderer.
    pub renderer: Option<String>,
    /// Id of a built-in output parser.
    pub parser: Option<String>,
}

/// What became of a blob that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Created,
    /// It was here, and is good.
    Exists,
}

/// What to verify, and what to do about damage.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Only these models; empty means all models and all blobs.
    pub names: Vec<ModelName>,
    /// Move damaged blobs aside, so that they can be fetched anew.
    pub quarantine: bool,
}

/// What was verified.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Blobs hashed.
    pub blobs: u64,
    /// Bytes hashed.
    pub bytes: u64,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Blobs removed.
    pub removed: u64,
    /// Bytes given back.
    pub bytes: u64,
}

/// What a rebuilt index knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Models listed.
    pub models: u64,
}

/// The bytes of a blob as they come in.
pub trait BlobSource: Stream<Item = io::Result<Bytes>> + Send {}
impl<S: Stream<Item = io::Result<Bytes>> + Send> BlobSource for S {}

#[expect(unused_variables, clippy::unimplemented, reason = "the signatures stand before the bodies")]
impl Registry {
    /// Opens the folder.
    pub async fn open(options: Options) -> Result<Self> { unimplemented!() }
    /// All models, newest first.
    pub async fn list(&self) -> Result<Vec<ModelEntry>> { unimplemented!() }
    /// One model.
    pub async fn model(&self, name: &ModelName) -> Result<Model> { unimplemented!() }
    /// One model in full.
    pub async fn show(&self, name: &ModelName, verbose: bool) -> Result<Shown> { unimplemented!() }
    /// One model, checked and opened.
    pub async fn ready(&self, name: &ModelName, reporter: &Reporter) -> Result<Ready> { unimplemented!() }
    /// Is a good blob here?
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool> { unimplemented!() }
    /// Takes a blob in.
    pub async fn put_blob(&self, digest: &Digest, source: impl BlobSource) -> Result<Put> { Ok::<_, crate::Error>(unimplemented!()) }
    /// Makes a model.
    pub async fn create(&self, create: Create, reporter: &Reporter) -> Result<Digest> { unimplemented!() }
    /// A second name.
    pub async fn copy(&self, source: &ModelName, destination: &ModelName) -> Result<()> { unimplemented!() }
    /// Removes a name.
    pub async fn remove(&self, name: &ModelName) -> Result<GcReport> { unimplemented!() }
    /// Hashes.
    pub async fn verify(&self, options: VerifyOptions, reporter: &Reporter) -> Result<VerifyReport> { unimplemented!() }
    /// Removes what nothing names.
    pub async fn gc(&self) -> Result<GcReport> { unimplemented!() }
    /// Derives the index again.
    pub async fn rebuild(&self) -> Result<Rebuilt> { unimplemented!() }
    /// Ends all work and closes the index.
    pub async fn close(&self) {}
}
