//! Registries that speak the OCI distribution protocol (opencontainers/distribution-spec).
//!
//! ```text
//! GET /v2/<repository>/manifests/<tag or digest>
//! GET /v2/<repository>/blobs/<digest>        the bytes, or a redirect of any kind to them
//! GET /v2/<repository>/tags/list?n=<most>    the tags, which not every registry tells
//! ```
//!
//! A tag is resolved once; all other requests are by digest. `index` selects the manifest of an index that is a model for llama.cpp;
//! `artifact` reads layouts other than Ollama's.

use futures::{FutureExt as _, StreamExt as _, stream};
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::artifact::{self, Artifact};
use super::index::{self, DOCKER_LIST_TYPE, Document, Index, OCI_INDEX_TYPE, OLLAMA_LIST_TYPE};
use super::{
    Auth, Endpoint, Error, Recipe, RemoteFile, RemoteModel, RemoteVariant, quantization,
    stated_digest,
};
use crate::Digest;
use crate::catalog::VariantName;
use crate::config::CONFIG_MAX;
use crate::http::{Client, Request, shown};
use crate::manifest::{Layer, MANIFEST_MAX, MANIFEST_TYPE, Manifest, OCI_MANIFEST_TYPE};
use crate::name::DEFAULT_TAG;

/// Most tags that are asked for, and most bytes of their list.
const MOST_TAGS: usize = 1000;
const TAGS_MAX: u64 = 1 << 20;
/// Most tags that are looked at as variants, and how many at the same time. Some registries count each look as a pull.
const MOST_VARIANTS: usize = 16;
const AT_ONCE: usize = 4;

/// A model in a registry.
#[derive(Debug, Clone)]
pub(crate) struct Distribution {
    /// Scheme, host and port.
    pub(crate) base: Url,
    /// The repository, such as `library/phi4`.
    pub(crate) repository: String,
    /// The tag.
    pub(crate) tag: String,
    /// The digest that its manifest must have.
    pub(crate) digest: Option<Digest>,
}

/// A manifest that was read.
struct Model {
    bytes: Vec<u8>,
    manifest: Manifest,
    /// Which layers make the model; `None` for Ollama's layout, where all of them do.
    artifact: Option<Artifact>,
}

impl Distribution {
    /// Finds out what the model consists of.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NotFound`] when the registry answers that it has no such model.
    pub(crate) async fn find(&self, client: &Client) -> Result<RemoteModel, Error> {
        let auth = Auth::challenged();
        let reference = match &self.digest {
            Some(digest) => digest.to_string(),
            None => self.tag.clone(),
        };
        let host = shown(&self.base);
        let mut steps = Vec::new();
        let (bytes, stated) = self
            .fetch(client, &auth, &self.url("manifests", &reference))
            .await?;
        let mut digest = Digest::of(&bytes);
        for expected in self.digest.iter().chain(&stated) {
            self.same(*expected, digest)?;
        }
        steps.push(format!("{host} has {} as {digest}", self.path()));
        let Model {
            bytes,
            manifest,
            artifact,
        } = match self.read(&bytes)? {
            Document::Manifest(manifest) => self.model(client, &auth, manifest, bytes).await?,
            Document::Index(index) => {
                let chosen = self.choose(client, &auth, &index, &mut steps).await?;
                digest = Digest::of(&chosen.bytes);
                chosen
            }
        };
        let place = format!("{host} {}@{}", self.path(), digest.short());
        let file = |layer: &Layer, title: String| RemoteFile {
            title,
            size: Some(layer.size),
            digest: Some(layer.digest),
            git_id: None,
            endpoint: Endpoint {
                url: self.url("blobs", &layer.digest.to_string()),
                auth: auth.clone(),
                validator: None,
            },
        };
        let Some(artifact) = artifact else {
            let mut files: Vec<RemoteFile> = Vec::new();
            for layer in manifest.layers.iter().chain([&manifest.config]) {
                if files.iter().all(|file| file.digest != Some(layer.digest)) {
                    files.push(file(layer, kind_of(&layer.media_type)));
                }
            }
            let recipe = Recipe::Manifest(bytes);
            return Ok(RemoteModel {
                place,
                steps,
                files,
                recipe,
            });
        };
        steps.extend(artifact.steps);
        let layers = artifact.pieces.iter().map(|piece| {
            let title = match &piece.role {
                artifact::Role::File(path) => path.to_string(),
                _ => kind_of(&manifest.layers[piece.index].media_type),
            };
            file(&manifest.layers[piece.index], title)
        });
        let files = layers.collect();
        let roles = artifact
            .pieces
            .into_iter()
            .map(|piece| piece.role)
            .collect();
        Ok(RemoteModel {
            place,
            steps,
            files,
            recipe: Recipe::Artifact { roles, digest },
        })
    }

    /// The quantizations of the model beside this tag: tags that differ from it by a quantization at their end, such as `3.8b-q8_0` for
    /// `3.8b`. For a tag whose bytes another tag has as well, such as `latest`, that tag tells the name. Only this tag where the registry
    /// tells no tags.
    ///
    /// # Errors
    /// As [`Distribution::find`].
    pub(crate) async fn variants(&self, client: &Client) -> Result<Vec<RemoteVariant>, Error> {
        let own = self.tagged(&self.tag, client).await?;
        let tags = match self.tags(client).await {
            Ok(tags) => tags.into_iter(),
            Err(error) => {
                tracing::debug!(%error, "the registry tells no tags");
                Vec::new().into_iter()
            }
        };
        let quantized = tags.filter(|tag| *tag != self.tag && *tag != model_of(tag));
        let mut quantized: Vec<String> = quantized.collect();
        // Tags that begin with this one are the likeliest; a stable sort keeps the order of the registry otherwise.
        quantized.sort_by_key(|tag| !tag.starts_with(&self.tag));
        quantized.truncate(MOST_VARIANTS);
        let found: Vec<_> = quantized
            .iter()
            .map(|tag| self.tagged(tag, client).boxed())
            .collect();
        let found: Vec<_> = stream::iter(found).buffered(AT_ONCE).collect().await;
        // A tag without a manifest for llama.cpp is no variant.
        let mut found: Vec<RemoteVariant> = found.into_iter().flatten().collect();
        let same =
            |variant: &RemoteVariant| variant.digest.is_some() && variant.digest == own.digest;
        let named = |variant: &&RemoteVariant| same(variant) && model_of(&variant.name) == self.tag;
        let usual = found.iter().find(named);
        let model = match usual.or_else(|| found.iter().find(|variant| same(variant))) {
            Some(usual) => model_of(&usual.name).to_owned(),
            None if self.tag == DEFAULT_TAG => String::new(),
            None => self.tag.clone(),
        };
        found.retain(|variant| model_of(&variant.name).eq_ignore_ascii_case(&model));
        let mut is_named = false;
        for variant in &mut found {
            variant.is_usual = !is_named && same(variant);
            is_named |= variant.is_usual;
        }
        if !is_named {
            found.insert(0, own);
        }
        Ok(found)
    }

    /// The variant behind one tag.
    async fn tagged(&self, tag: &str, client: &Client) -> Result<RemoteVariant, Error> {
        let place = Self {
            tag: tag.to_owned(),
            ..self.clone()
        };
        let files = place.find(client).await?.files;
        let sizes = files.iter().map(|file| file.size.unwrap_or(0));
        let largest = files.iter().max_by_key(|file| file.size);
        Ok(RemoteVariant {
            name: tag.to_owned(),
            quantization: quantization(tag),
            size: Some(sizes.fold(0, u64::saturating_add)),
            digest: largest.and_then(|file| file.digest),
            is_usual: tag == self.tag,
        })
    }

    /// The tags of the repository, in the order of the registry.
    async fn tags(&self, client: &Client) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct List {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut url = self.url("tags", "list");
        url.set_query(Some(&format!("n={MOST_TAGS}")));
        let auth = Auth::challenged();
        let (bytes, _) = self.document(client, &auth, &url, None, TAGS_MAX).await?;
        let list: List = serde_json::from_slice(&bytes).map_err(|error| Error::Document {
            host: shown(&self.base),
            what: "a list of tags",
            reason: error.to_string(),
        })?;
        let mut tags = list.tags.unwrap_or_default();
        tags.retain(|tag| VariantName::parse(tag).is_ok());
        Ok(tags)
    }

    fn read(&self, bytes: &[u8]) -> Result<Document, Error> {
        index::read(bytes).map_err(|reason| Error::Document {
            host: shown(&self.base),
            what: "a manifest",
            reason,
        })
    }

    fn same(&self, expected: Digest, found: Digest) -> Result<(), Error> {
        if expected == found {
            return Ok(());
        }
        Err(Error::Digest {
            host: shown(&self.base),
            expected,
            found,
        })
    }

    /// A manifest, or a list of them, with the digest that the registry states.
    async fn fetch(
        &self,
        client: &Client,
        auth: &Auth,
        url: &Url,
    ) -> Result<(Vec<u8>, Option<Digest>), Error> {
        let accepted = [
            OLLAMA_LIST_TYPE,
            MANIFEST_TYPE,
            OCI_MANIFEST_TYPE,
            OCI_INDEX_TYPE,
            DOCKER_LIST_TYPE,
        ]
        .join(", ");
        let accepted = HeaderValue::from_str(&accepted).expect("media types are plain text");
        let (bytes, headers) = self
            .document(client, auth, url, Some(accepted), MANIFEST_MAX)
            .await?;
        Ok((bytes, stated_digest(&headers)))
    }

    /// The config of an image, where only that tells what its layers are.
    async fn config(
        &self,
        client: &Client,
        auth: &Auth,
        manifest: &Manifest,
    ) -> Result<Option<Vec<u8>>, Error> {
        if !artifact::needs_config(manifest) {
            return Ok(None);
        }
        let digest = manifest.config.digest;
        let url = self.url("blobs", &digest.to_string());
        let (bytes, _) = self.document(client, auth, &url, None, CONFIG_MAX).await?;
        self.same(digest, Digest::of(&bytes))?;
        Ok(Some(bytes))
    }

    /// A small document.
    async fn document(
        &self,
        client: &Client,
        auth: &Auth,
        url: &Url,
        accepted: Option<HeaderValue>,
        most: u64,
    ) -> Result<(Vec<u8>, reqwest::header::HeaderMap), Error> {
        let mut request = Request::get(url.clone());
        if let Some(accepted) = accepted {
            request = request.with(ACCEPT, accepted);
        }
        let read = || async {
            let response = auth.send(client, &request, 1).await?;
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            response.document(most).await.map(Some)
        };
        match client.repeated(read).await? {
            Some((bytes, headers)) => Ok((bytes.to_vec(), headers)),
            None => Err(Error::NotFound {
                host: shown(&self.base),
                what: self.path(),
            }),
        }
    }

    /// The first manifest of an index that has weights for llama.cpp, with its bytes.
    async fn choose(
        &self,
        client: &Client,
        auth: &Auth,
        index: &Index,
        steps: &mut Vec<String>,
    ) -> Result<Model, Error> {
        // Ollama's registry keeps the manifests of a list among the blobs.
        let kind = if index.is_ollama {
            "blobs"
        } else {
            "manifests"
        };
        for (entry, digest) in index.candidates() {
            let url = self.url(kind, &digest.to_string());
            let found = match self.candidate(client, auth, &url, digest).await {
                // A registry may lack manifests that its index names. A host that cannot be reached would fail for the next one too.
                Err(error @ (Error::NotFound { .. } | Error::Document { .. })) => {
                    steps.push(format!("{}: {error}", entry.shown()));
                    continue;
                }
                found => found?,
            };
            if let Some(model) = found {
                steps.push(format!(
                    "of its forms {} the one for {} is taken",
                    index.forms().join(", "),
                    entry.shown()
                ));
                return Ok(model);
            }
        }
        Err(Error::NoForm {
            host: shown(&self.base),
            forms: index.forms(),
        })
    }

    /// One manifest of an index; `None` where it has no weights.
    async fn candidate(
        &self,
        client: &Client,
        auth: &Auth,
        url: &Url,
        digest: Digest,
    ) -> Result<Option<Model>, Error> {
        let (bytes, _) = self.fetch(client, auth, url).await?;
        self.same(digest, Digest::of(&bytes))?;
        let Document::Manifest(manifest) = self.read(&bytes)? else {
            return Ok(None);
        };
        match self.model(client, auth, manifest, bytes).await {
            Ok(model) => Ok(Some(model)),
            Err(Error::NoSuchFile { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the layers of a manifest hold.
    async fn model(
        &self,
        client: &Client,
        auth: &Auth,
        manifest: Manifest,
        bytes: Vec<u8>,
    ) -> Result<Model, Error> {
        let artifact = if artifact::is_ollama(&manifest) {
            None
        } else {
            let config = self.config(client, auth, &manifest).await?;
            let place = format!("{} {}", shown(&self.base), self.path());
            let read = artifact::read(&manifest, &bytes, config.as_deref(), &place)?;
            Some(read)
        };
        Ok(Model {
            bytes,
            manifest,
            artifact,
        })
    }

    /// Repository and tag.
    pub(crate) fn path(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    fn url(&self, what: &str, reference: &str) -> Url {
        let mut url = self.base.clone();
        let path = format!(
            "{}/v2/{}/{what}/{reference}",
            self.base.path().trim_end_matches('/'),
            self.repository
        );
        // Parts of names and digests need no escapes.
        url.set_path(&path);
        url
    }
}

/// A tag without the quantization at its end and the hyphen before it; the tag itself where it ends with none.
fn model_of(tag: &str) -> &str {
    let quantization = quantization(tag);
    let end = tag.len().saturating_sub(quantization.len());
    match tag.get(end..) {
        Some(last) if !last.is_empty() && last.eq_ignore_ascii_case(&quantization) => {
            tag[..end].trim_end_matches('-')
        }
        _ => tag,
    }
}

fn kind_of(media_type: &str) -> String {
    let last = media_type.rsplit('.').next().unwrap_or_default();
    match media_type {
        crate::manifest::CONFIG_TYPE => "config".to_owned(),
        _ if media_type.starts_with("application/vnd.ollama.image.") => harmless(last),
        _ => harmless(media_type.trim_start_matches("application/vnd.")),
    }
}

fn harmless(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic())
        .take(40)
        .collect()
}
