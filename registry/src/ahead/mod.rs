//! The headers of a model's files, read where a pull would fetch them, without the weights.
//!
//! What the memory of a loaded model depends on is in these headers, so a model can be planned before it is pulled.

mod prefix;

use bytes::Bytes;
use reqwest::header::{HeaderValue, RANGE};

use crate::error::{Error, Result, in_full};
use crate::facts::Facts;
use crate::gguf::{self, GeneralType};
use crate::http::{Client, Request};
use crate::manifest::{LayerKind, Manifest};
use crate::reference::Reference;
use crate::remote::{Recipe, RemoteFile, RemoteModel};
use crate::resolve;
use crate::source::Settings;
use crate::store::Check;
use crate::{Digest, ModelMemory, Registry};

use self::prefix::Prefix;

/// Bytes of a header that are fetched first; most headers have a vocabulary of some megabytes.
const FIRST: u64 = 1 << 20;
/// A longer header is given up.
const LONGEST: u64 = 64 << 20;
/// More files than any model has.
const MOST_FILES: usize = 256;

/// What the headers of a model say before it is pulled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteHeaders {
    /// Where they were read.
    pub place: String,
    /// What the memory of the model depends on.
    pub memory: ModelMemory,
    /// The quantization, such as `Q4_K_M`.
    pub file_type: String,
    /// The number of values in the weights.
    pub parameters: u64,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Weights,
    Projector,
    Draft,
    Adapter,
}

impl Role {
    fn of_layer(kind: LayerKind) -> Option<Self> {
        match kind {
            LayerKind::Model => Some(Self::Weights),
            LayerKind::Projector => Some(Self::Projector),
            LayerKind::Draft => Some(Self::Draft),
            LayerKind::Adapter => Some(Self::Adapter),
            _ => None,
        }
    }

    fn of_file(facts: &Facts) -> Self {
        match facts.general_type {
            GeneralType::Model => Self::Weights,
            GeneralType::Projector => Self::Projector,
            GeneralType::Adapter => Self::Adapter,
        }
    }
}

impl RemoteHeaders {
    fn add(&mut self, role: Role, facts: Facts) {
        match role {
            Role::Weights => {
                self.parameters = self.parameters.saturating_add(facts.parameter_count);
                // The later shards do not know the model.
                match facts.memory.architecture.is_some() {
                    true => {
                        self.file_type = facts.file_type;
                        self.memory.weights.insert(0, facts.memory);
                    }
                    false => self.memory.weights.push(facts.memory),
                }
            }
            Role::Projector => {
                self.memory.projector = self.memory.projector.take().or(Some(facts.memory))
            }
            Role::Draft => self.memory.draft = self.memory.draft.take().or(Some(facts.memory)),
            Role::Adapter => self.memory.adapters.push(facts.memory),
        }
    }

    fn checked(self) -> Result<Self> {
        match self.memory.weights.is_empty() {
            true => Err(Error::Invalid {
                reason: format!(
                    "{} has no GGUF weights whose header could be read",
                    self.place
                ),
            }),
            false => Ok(self),
        }
    }
}

impl Registry {
    /// The headers of a model where a pull would fetch it. No file is fetched further than its header.
    ///
    /// # Errors
    /// As [`Registry::explain`], when no place has the model, and [`Error::Invalid`] for one whose weights are no GGUF files.
    pub async fn remote_headers(
        &self,
        reference: &Reference,
        insecure: bool,
        settings: &Settings,
    ) -> Result<RemoteHeaders> {
        let settings = &self.with_hub_token(settings).await;
        let (catalog, _) = self.catalog().await?;
        let plan = resolve::plan(reference, insecure, &catalog, settings)?;
        resolve::reachable(&plan.named, &settings.network)?;
        let client = self.client(settings, &plan.named).await?;
        let mut reasons = Vec::new();
        for candidate in &plan.candidates {
            let place = candidate.place();
            let found = match candidate.find(&client).await {
                Ok(Some(found)) => self.headers_of(&found, &client).await,
                // Packages are only known once they are fetched.
                Ok(None) => Err(Error::Invalid {
                    reason: "its header can be read after a pull only".into(),
                }),
                Err(error) => Err(error.into()),
            };
            match found {
                Ok(headers) => return Ok(headers),
                Err(error) => reasons.push(format!("{place}: {}", in_full(&error))),
            }
        }
        Err(Error::Invalid {
            reason: format!(
                "no place shows the header of {}: {}",
                plan.name,
                reasons.join("; ")
            ),
        })
    }

    async fn headers_of(&self, found: &RemoteModel, client: &Client) -> Result<RemoteHeaders> {
        let manifest = match &found.recipe {
            Recipe::Manifest(bytes) => Some(parsed(bytes)?),
            Recipe::Files(_) | Recipe::Artifact { .. } => None,
        };
        let mut headers = RemoteHeaders {
            place: found.place.clone(),
            ..RemoteHeaders::default()
        };
        for file in found.files.iter().take(MOST_FILES) {
            let layer = manifest.as_ref().map(|manifest| {
                let layers = manifest.layers.iter();
                let digest = |digest: Digest| file.digest == Some(digest);
                layers
                    .clone()
                    .find(|layer| digest(layer.digest))
                    .and_then(|layer| Role::of_layer(layer.kind()))
            });
            // A manifest says which of its layers are weights; elsewhere each file tells.
            if layer == Some(None) {
                continue;
            }
            let stored = match &file.digest {
                Some(digest) => self.stored_facts(digest).await?,
                None => None,
            };
            let facts = match stored {
                Some(facts) => Some(facts),
                None => remote_facts(file, client).await?,
            };
            if let Some(facts) = facts {
                let role = layer.flatten().unwrap_or_else(|| Role::of_file(&facts));
                headers.add(role, facts);
            }
        }
        headers.checked()
    }

    /// The facts of a blob that is here.
    async fn stored_facts(&self, digest: &Digest) -> Result<Option<Facts>> {
        let wanted = *digest;
        let opened = self
            .on_disk(move |store| store.open_blob(&wanted, None))
            .await?;
        match opened {
            Check::There(file, stamp) => self.facts_of_file(digest, file, stamp).await,
            Check::Bad(_) => Ok(None),
        }
    }
}

/// The facts of a file far away; `None` for a file that is no GGUF.
async fn remote_facts(file: &RemoteFile, client: &Client) -> Result<Option<Facts>> {
    let Some(size) = file.size.filter(|size| *size > 8) else {
        return Ok(None);
    };
    let mut prefix = Prefix::new(size);
    let mut wanted = FIRST;
    loop {
        let have = prefix.len();
        let until = wanted.min(size);
        let bytes = range(file, client, have, until).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        prefix.append(&bytes);
        if !prefix.is_gguf() {
            return Ok(None);
        }
        match gguf::read(&mut prefix.reader(), size) {
            Ok(read) => return Ok(Some(read.facts())),
            Err(gguf::Error::Io { .. }) if wanted < LONGEST && until < size => wanted *= 4,
            Err(error) => {
                return Err(Error::Invalid {
                    reason: format!("the header of {} cannot be read: {error}", file.title),
                });
            }
        }
    }
}

/// The bytes of a file from `start` to before `end`.
async fn range(file: &RemoteFile, client: &Client, start: u64, end: u64) -> Result<Bytes> {
    let value = format!("bytes={start}-{}", end - 1);
    let value = HeaderValue::from_str(&value).expect("digits");
    let request = Request::get(file.endpoint.url.clone()).with(RANGE, value);
    let response = file.endpoint.auth.send(client, &request, 1).await?;
    let (bytes, _) = response.document(end - start).await?;
    Ok(bytes)
}

fn parsed(manifest: &[u8]) -> Result<Manifest> {
    Manifest::parse(manifest).map_err(|error| Error::Invalid {
        reason: format!("its manifest cannot be read: {error}"),
    })
}
