//! The models with adapters, so that a runner can serve all of them that have the same weights.

use std::sync::atomic::Ordering;

use crate::{
    Digest, Model, ModelKey, ModelName, OpenBlob, Reporter,
    error::{Error, Result},
    manifest::{Layer, LayerKind},
};

use super::Registry;

/// A model with adapters.
#[derive(Debug, Clone)]
pub struct AdaptedModel {
    /// Its name.
    pub name: ModelName,
    /// What its runner loads besides the adapters.
    pub key: ModelKey,
    /// Its adapters, in the order they apply.
    pub adapters: Vec<Layer>,
}

impl Registry {
    /// A number that changes whenever this process publishes or removes a name.
    pub fn revision(&self) -> u64 {
        self.0.revision.load(Ordering::Acquire)
    }

    /// Notes that a name was published or removed.
    pub(super) fn revise(&self) {
        self.0.revision.fetch_add(1, Ordering::AcqRel);
    }

    /// The good models with adapters, latest written first. All manifests are read.
    ///
    /// # Errors
    /// When the folders cannot be read.
    pub async fn adapted_models(&self) -> Result<Vec<AdaptedModel>> {
        let names = self
            .on_disk(|store| {
                let mut found = Vec::new();
                for place in store.walk()?.names {
                    let file = store.read_manifest(&place.name)?;
                    let manifest = file.and_then(|file| file.manifest.ok());
                    let mut layers = manifest.iter().flat_map(|it| &it.layers);
                    if layers.any(|layer| layer.kind() == LayerKind::Adapter) {
                        found.push((place.stamp.modified(), place.name));
                    }
                }
                found.sort_by(|a, b| b.cmp(a));
                Ok(found)
            })
            .await?;
        let mut models = Vec::new();
        for (_, name) in names {
            // A damaged model is of use to no runner.
            if let Ok(model) = self.model(&name).await {
                models.push(AdaptedModel::of(&model));
            }
        }
        Ok(models)
    }

    /// An adapter of a model, checked and opened as by [`Registry::ready`].
    ///
    /// # Errors
    /// [`Error::BlobNotFound`] when the model has no such adapter any more; otherwise as [`Registry::ready`].
    pub async fn ready_adapter(
        &self,
        name: &ModelName,
        digest: Digest,
        reporter: &Reporter,
    ) -> Result<OpenBlob> {
        let (model, _pins) = self.pinned(name).await?;
        let layer = model.adapters().find(|layer| layer.digest == digest);
        let layer = layer.ok_or(Error::BlobNotFound { digest })?;
        self.open_layer(&model, layer, reporter).await
    }
}

impl AdaptedModel {
    fn of(model: &Model) -> Self {
        Self {
            name: model.name.clone(),
            key: model.key(),
            adapters: model.adapters().cloned().collect(),
        }
    }
}
