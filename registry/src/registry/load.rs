//! One model, with its small layers read.

use std::collections::{BTreeMap, HashSet};

use modelfile::{Message, Parameters};

use crate::{
    Damage, Digest, Model, ModelName,
    config::{CONFIG_MAX, Config},
    credentials,
    error::{Error, Result},
    manifest::{Layer, LayerKind, Manifest},
    renderers,
    resolve::repository_of,
    store::{ManifestFile, Store},
};

use super::{Pins, Registry, blobs::Trust, describe, descriptions::Sources};

/// Largest layer of text or JSON that is read, in bytes.
pub(super) const TEXT_MAX: u64 = 4 << 20;

impl Registry {
    /// One model. Its name is matched without regard to case. Its description may come from memory, see `descriptions`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::DamagedManifest`], [`Error::Damaged`] or [`Error::BadLayer`] when its files are not good.
    pub async fn model(&self, name: &ModelName) -> Result<Model> {
        let (file, _pins) = self.pinned_manifest(name).await?;
        if let Some(known) = self.0.descriptions.get(&file.digest) {
            let (name, modified) = (file.name.clone(), file.stamp.modified());
            let model = self.on_disk(move |store| {
                let is_valid = known.is_valid(store)?;
                Ok(is_valid.then(|| Model {
                    name,
                    modified,
                    ..known.model.clone()
                }))
            });
            if let Some(model) = model.await? {
                return Ok(model);
            }
        }
        self.described(file).await
    }

    /// One model, with its blobs pinned. All its small layers but licences are read and hashed.
    pub(super) async fn pinned(&self, name: &ModelName) -> Result<(Model, Pins)> {
        let (file, pins) = self.pinned_manifest(name).await?;
        Ok((self.described(file).await?, pins))
    }

    /// The texts of a model's licences.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::BadLayer`] when one is not good.
    pub async fn licenses(&self, model: &Model) -> Result<Vec<String>> {
        let (name, manifest) = (model.name.clone(), model.manifest.clone());
        self.read_small(move |store| read_licenses(store, &name, &manifest))
            .await
    }

    /// Reads the small layers of a manifest, and keeps the description.
    async fn described(&self, file: ManifestFile) -> Result<Model> {
        let (name, digest, stamp) = (file.name.clone(), file.digest, file.stamp);
        let (name, mut small, sources) = self
            .read_small(move |store| {
                let sources = match &file.manifest {
                    Ok(manifest) => Sources::of(store, &file, manifest)?,
                    Err(_) => None,
                };
                let (manifest, _) = file.good(store)?;
                for reason in manifest.strange_layers() {
                    tracing::warn!(model = %name, %reason, "a layer of the model is left out; pull or create the model again");
                }
                let small = SmallLayers::read(store, &name, manifest)?;
                Ok((name, small, sources))
            })
            .await?;
        let stand_in = small.stand_in();
        let needs_facts = describe::needs_facts(&small.config) || stand_in.is_some();
        let facts = match needs_facts {
            true => self.header_of(&small.manifest).await?,
            false => None,
        };
        let is_complete = !needs_facts || facts.is_some();
        if facts
            .as_ref()
            .is_none_or(|facts| facts.chat_template.is_none())
        {
            small.chat_template = small.chat_template.or(stand_in.map(str::to_owned));
        }
        let (details, capabilities) = describe::describe(
            &small.manifest,
            &small.config,
            small.template.as_deref(),
            facts.as_ref(),
        );
        let SmallLayers {
            manifest,
            config,
            template,
            chat_template,
            system,
            parameters,
            messages,
        } = small;
        let modified = stamp.modified();
        let model = Model {
            name,
            digest,
            modified,
            manifest,
            config,
            template,
            chat_template,
            system,
            parameters,
            messages,
            details,
            capabilities,
        };
        if let Some(sources) = sources.filter(|_| is_complete) {
            self.0.descriptions.keep(model.clone(), sources);
        }
        Ok(model)
    }

    /// Reads small layers. A damaged one is moved aside.
    async fn read_small<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.on_disk(read).await {
            Err(error @ Error::Damaged { digest, .. }) => {
                self.set_aside_if_damaged(digest).await?;
                Err(error)
            }
            outcome => outcome,
        }
    }

    /// The manifest of a model, mended where that can be, with its blobs pinned.
    pub(super) async fn pinned_manifest(&self, name: &ModelName) -> Result<(ManifestFile, Pins)> {
        let wanted = name.clone();
        let _gate = self.0.gate.read().await;
        let file = self
            .on_disk(move |store| store.read_manifest(&wanted))
            .await?;
        let file = file.ok_or_else(|| Error::NotFound { name: name.clone() })?;
        let file = self.settle(file).await?.file;
        let blobs = file.manifest.iter().flat_map(Manifest::blobs);
        let pins = self.pin(blobs.map(|layer| layer.digest));
        Ok((file, pins))
    }

    /// The manifest of a model as it is stored, with its blobs pinned.
    pub(crate) async fn stored_manifest(
        &self,
        name: &ModelName,
    ) -> Result<(Manifest, Vec<u8>, Pins)> {
        let (file, pins) = self.pinned_manifest(name).await?;
        let (manifest, bytes) = self.on_disk(move |store| file.good(store)).await?;
        Ok((manifest, bytes, pins))
    }

    /// A blob of a model, found good and open for reading, with its path.
    pub(crate) async fn opened(
        &self,
        model: &ModelName,
        digest: &Digest,
        size: u64,
        reporter: &crate::Reporter,
    ) -> Result<(std::fs::File, std::path::PathBuf)> {
        let path = self.0.store.blob(digest);
        match self.check_blob(digest, Some(size), reporter).await? {
            Ok(blob) => Ok((blob.file, path)),
            Err(found) => Err(damaged(model, *digest, found)),
        }
    }

    /// The blobs of every indexed model of a registry, by the repository there.
    pub(crate) async fn repositories_of(
        &self,
        host: &str,
    ) -> Result<BTreeMap<String, HashSet<Digest>>> {
        let mut found: BTreeMap<String, HashSet<Digest>> = BTreeMap::new();
        let host = credentials::canonical(host);
        for (name, manifest) in self.0.index.kept_manifests().await? {
            if credentials::canonical(name.host()) == host {
                let blobs = found.entry(repository_of(&name)).or_default();
                blobs.extend(manifest.blobs);
            }
        }
        Ok(found)
    }

    /// A small blob was found damaged while it was read: it is examined as a whole, and moved aside if it is damaged.
    /// The stamp is not trusted, because the bytes were just seen to be wrong.
    async fn set_aside_if_damaged(&self, digest: Digest) -> Result<()> {
        let silent = crate::Reporter::silent();
        self.examine(&digest, None, Trust::Nothing, true, &silent)
            .await
            .map(|_| ())
    }
}

/// The error about one blob of a model.
pub(super) fn damaged(model: &ModelName, digest: Digest, found: Damage) -> Error {
    Error::Damaged {
        model: model.clone(),
        digest,
        found,
        remedy: "pull or create the model again to mend it",
    }
}

/// The small layers of a model, parsed.
pub(super) struct SmallLayers {
    pub(super) manifest: Manifest,
    pub(super) config: Config,
    pub(super) template: Option<String>,
    pub(super) chat_template: Option<String>,
    pub(super) system: Option<String>,
    pub(super) parameters: Parameters,
    pub(super) messages: Vec<Message>,
}

impl SmallLayers {
    /// Reads and hashes every small layer but licences.
    pub(super) fn read(store: &Store, name: &ModelName, manifest: Manifest) -> Result<Self> {
        let config = read_config(store, &manifest)?.map_err(|problem| problem.of(name))?;
        let template = read_template(store, name, &manifest)?;
        let chat_template = read_chat_template(store, name, &manifest)?;
        let system = last_text(store, name, &manifest, LayerKind::System, "system")?;
        let parameters = match read_params(store, name, &manifest)? {
            Some(map) => {
                let (parameters, problems) = Parameters::from_json_lenient(&map);
                for problem in problems {
                    tracing::warn!(model = %name, %problem, "a parameter of the model is passed over");
                }
                parameters
            }
            None => Parameters::default(),
        };
        let messages = match manifest.layers_of(LayerKind::Messages).last() {
            Some(layer) => {
                let bytes = read_bytes(store, name, layer)?;
                serde_json::from_slice(&bytes)
                    .map_err(|error| bad_layer(name, "messages", error.to_string()))?
            }
            None => Vec::new(),
        };
        Ok(Self {
            config,
            template,
            chat_template,
            system,
            parameters,
            messages,
            manifest,
        })
    }
}

impl SmallLayers {
    /// The chat template in place of the renderer that the config names, where the model has no template layer.
    fn stand_in(&self) -> Option<&'static str> {
        if self.template.is_some() || self.chat_template.is_some() {
            return None;
        }
        renderers::chat_template(self.config.renderer.as_deref()?)
    }
}

/// The Go template of a model. An empty one counts as none.
pub(super) fn read_template(
    store: &Store,
    name: &ModelName,
    manifest: &Manifest,
) -> Result<Option<String>> {
    last_text(store, name, manifest, LayerKind::Template, "template")
}

/// The chat template (Jinja) that a model has beside its weights. An empty one counts as none.
pub(super) fn read_chat_template(
    store: &Store,
    name: &ModelName,
    manifest: &Manifest,
) -> Result<Option<String>> {
    let kind = LayerKind::ChatTemplate;
    last_text(store, name, manifest, kind, "chat template")
}

/// The texts of a model's licences.
pub(super) fn read_licenses(
    store: &Store,
    name: &ModelName,
    manifest: &Manifest,
) -> Result<Vec<String>> {
    manifest
        .layers_of(LayerKind::License)
        .map(|layer| read_text(store, name, layer, "license"))
        .collect()
}

fn last_text(
    store: &Store,
    name: &ModelName,
    manifest: &Manifest,
    kind: LayerKind,
    what: &'static str,
) -> Result<Option<String>> {
    let layer = manifest.layers_of(kind).last();
    let text = layer
        .map(|layer| read_text(store, name, layer, what))
        .transpose()?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// The raw map of the params layer, unknown members included.
pub(super) fn read_params(
    store: &Store,
    name: &ModelName,
    manifest: &Manifest,
) -> Result<Option<serde_json::Map<String, serde_json::Value>>> {
    let Some(layer) = manifest.layers_of(LayerKind::Params).last() else {
        return Ok(None);
    };
    let bytes = read_bytes(store, name, layer)?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| bad_layer(name, "params", error.to_string()))
}

/// Why a config cannot be used.
pub(super) enum ConfigProblem {
    /// Its blob is not good.
    Damaged(Digest, Damage),
    /// It is not valid JSON of a config.
    Unreadable(String),
}

impl ConfigProblem {
    fn of(self, name: &ModelName) -> Error {
        match self {
            Self::Damaged(digest, damage) => damaged(name, digest, damage),
            Self::Unreadable(reason) => bad_layer(name, "config", reason),
        }
    }
}

/// Reads and hashes the config blob of a manifest.
pub(super) fn read_config(
    store: &Store,
    manifest: &Manifest,
) -> Result<Result<Config, ConfigProblem>> {
    let Layer { digest, size, .. } = manifest.config;
    Ok(match store.read_blob(&digest, size, CONFIG_MAX)? {
        Err(damage) => Err(ConfigProblem::Damaged(digest, damage)),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| ConfigProblem::Unreadable(error.to_string())),
    })
}

fn read_bytes(store: &Store, name: &ModelName, layer: &Layer) -> Result<Vec<u8>> {
    store
        .read_blob(&layer.digest, layer.size, TEXT_MAX)?
        .map_err(|damage| damaged(name, layer.digest, damage))
}

fn read_text(store: &Store, name: &ModelName, layer: &Layer, what: &'static str) -> Result<String> {
    String::from_utf8(read_bytes(store, name, layer)?)
        .map_err(|error| bad_layer(name, what, error.to_string()))
}

fn bad_layer(name: &ModelName, layer: &'static str, reason: String) -> Error {
    Error::BadLayer {
        model: name.clone(),
        layer,
        reason,
    }
}
