//! Descriptions of models that stay in memory, so that a request reads the manifest of its model and no other file.
//!
//! A description is found by the digest of its manifest. The manifest is read for each request, so a name that leads to another
//! model is seen at once. A description is valid while every file that it was made from has the stamp that it had then: a layer that
//! was removed, replaced or written to is read and hashed again, and a damaged one is the same error as ever. Only a write below the
//! file system stays unseen. A load ([`Registry::ready`]) takes no description from here: it reads and hashes the small layers again.
//!
//! [`Registry::ready`]: crate::Registry::ready

use std::sync::{Arc, Mutex};

use crate::{
    Digest, Model,
    error::Result,
    fs::{self, Kind, Stamp},
    manifest::{Layer, LayerKind, Manifest},
    store::{ManifestFile, Store},
};

use super::relock;

/// Most descriptions that are kept.
pub(super) const MOST: usize = 64;
/// Most bytes of manifest, config and small layers of a model whose description is kept.
const LARGEST: u64 = 1 << 20;

/// The descriptions of one store, the least recently used first. Never locked across an await.
#[derive(Default)]
pub(super) struct Descriptions(Mutex<Vec<Arc<Description>>>);

/// A model, and the stamps of the files that its description was made from.
pub(super) struct Description {
    pub(super) model: Model,
    sources: Sources,
}

/// The stamps of the files that a description is made from.
#[derive(PartialEq, Eq)]
pub(super) struct Sources(Vec<(Digest, Stamp)>);

impl Descriptions {
    /// The description of the model with this manifest.
    pub(super) fn get(&self, manifest: &Digest) -> Option<Arc<Description>> {
        let mut kept = relock(&self.0);
        let place = kept
            .iter()
            .position(|kept| kept.model.digest == *manifest)?;
        let found = kept.remove(place);
        kept.push(found.clone());
        Some(found)
    }

    /// Keeps a description that was made after its sources were looked at.
    pub(super) fn keep(&self, model: Model, sources: Sources) {
        let mut kept = relock(&self.0);
        kept.retain(|kept| kept.model.digest != model.digest);
        kept.push(Arc::new(Description { model, sources }));
        if kept.len() > MOST {
            kept.remove(0);
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        relock(&self.0).len()
    }
}

impl Description {
    /// Whether every file is the one that the description was made from.
    pub(super) fn is_valid(&self, store: &Store) -> Result<bool> {
        let now = Sources::stamps(store, &self.model.manifest)?;
        Ok(now.is_some_and(|now| now == self.sources))
    }
}

impl Sources {
    /// What a description of this manifest will be made from. `None` where it will not be kept: a file is missing, or there is much of it.
    pub(super) fn of(
        store: &Store,
        file: &ManifestFile,
        manifest: &Manifest,
    ) -> Result<Option<Self>> {
        let small: u64 = small(manifest).map(|layer| layer.size).sum();
        match small.saturating_add(file.bytes.len() as u64) <= LARGEST {
            true => Self::stamps(store, manifest),
            false => Ok(None),
        }
    }

    /// The weights are among them, because their header fills what the config leaves open.
    fn stamps(store: &Store, manifest: &Manifest) -> Result<Option<Self>> {
        let mut stamps = Vec::new();
        for layer in small(manifest).chain(manifest.layers_of(LayerKind::Model).next()) {
            match fs::look(&store.blob(&layer.digest))? {
                Some(Kind::File(stamp)) => stamps.push((layer.digest, stamp)),
                _ => return Ok(None),
            }
        }
        Ok(Some(Self(stamps)))
    }
}

/// The config, and the layers of text and JSON that a request needs.
fn small(manifest: &Manifest) -> impl Iterator<Item = &Layer> {
    let layers = manifest.layers.iter().filter(|layer| {
        matches!(
            layer.kind(),
            LayerKind::Template
                | LayerKind::ChatTemplate
                | LayerKind::System
                | LayerKind::Params
                | LayerKind::Messages
        )
    });
    layers.chain([&manifest.config])
}
