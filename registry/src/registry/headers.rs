//! What the memory of a loaded model depends on, from the headers of its files.

use crate::error::{Damage, Result};
use crate::facts::Facts;
use crate::manifest::LayerKind;
use crate::memory::MemoryFacts;
use crate::store::Check;
use crate::{Model, Registry};

use super::blobs::{GoodBlob, Trust};
use super::load::damaged;

/// The facts of the files of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelMemory {
    /// The weights; several for a split model, in the order of their parts.
    pub weights: Vec<MemoryFacts>,
    /// The encoder of images.
    pub projector: Option<MemoryFacts>,
    /// The draft model.
    pub draft: Option<MemoryFacts>,
    /// The LoRA adapters.
    pub adapters: Vec<MemoryFacts>,
}

impl Registry {
    /// What the index knows of the files of a model; the header of a file that it does not know is read. No file is hashed.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] when a file is missing or not readable, and when the index or a file cannot be read.
    pub async fn model_memory(&self, model: &Model) -> Result<ModelMemory> {
        let mut weights = Vec::new();
        for facts in self.layer_facts(model, LayerKind::Model).await? {
            weights.push((facts.split.map(|split| split.number), facts.memory));
        }
        weights.sort_by_key(|(number, _)| *number);
        let memory = |all: Vec<Facts>| all.into_iter().map(|facts| facts.memory);
        let projectors = self.layer_facts(model, LayerKind::Projector).await?;
        let drafts = self.layer_facts(model, LayerKind::Draft).await?;
        let adapters = self.layer_facts(model, LayerKind::Adapter).await?;
        Ok(ModelMemory {
            weights: weights.into_iter().map(|(_, facts)| facts).collect(),
            projector: memory(projectors).next(),
            draft: memory(drafts).next(),
            adapters: memory(adapters).collect(),
        })
    }

    async fn layer_facts(&self, model: &Model, kind: LayerKind) -> Result<Vec<Facts>> {
        let mut all = Vec::new();
        for layer in model.manifest.layers_of(kind) {
            let digest = layer.digest;
            let bad = |found| damaged(&model.name, digest, found);
            let opened = self.on_disk(move |store| store.open_blob(&digest, None));
            let blob = match opened.await? {
                Check::There(file, stamp) => GoodBlob { file, stamp },
                Check::Bad(found) => return Err(bad(found)),
            };
            let facts = self.facts(&digest, &blob, Trust::Stamp).await?;
            all.push(facts.map_err(|problem| bad(Damage::Gguf(problem)))?);
        }
        Ok(all)
    }
}
