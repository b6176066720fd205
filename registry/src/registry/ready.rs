//! A model, checked and opened for a runner.

use crate::{
    Damage, Model, ModelName, OpenBlob, Ready, Reporter,
    error::{Error, Result},
    gguf::Facts,
    manifest::{Layer, LayerKind},
};

use super::{
    Registry,
    blobs::{GoodBlob, Trust},
    load::damaged,
    split::{self, Called},
};

impl Registry {
    /// A model whose blobs are good, with its large ones opened for reading.
    ///
    /// A blob that was not hashed since its file last changed is hashed first, which `reporter` hears of;
    /// and every GGUF file passes the strict reader. What was found is remembered by the file's stamp.
    /// The answer stays usable when the model is removed.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a blob is not good; one with other bytes is moved aside. Otherwise as [`Registry::model`].
    pub async fn ready(&self, name: &ModelName, reporter: &Reporter) -> Result<Ready> {
        let (model, _pins) = self.pinned(name).await?;
        let mut weights = self.open_all(&model, LayerKind::Model, reporter).await?;
        if weights.is_empty() {
            return Err(Error::Invalid {
                reason: format!("model {} has no weights to run", model.name),
            });
        }
        // The parts of a split model may stand in any order; the first one knows the model.
        weights.sort_by_key(|(_, facts)| facts.split.map(|split| split.number));
        let files: Vec<_> = weights
            .iter()
            .map(|(blob, facts)| (blob.digest, facts))
            .collect();
        split::check(&files, &Called::default())?;
        let (weights, facts) = {
            let mut rest = weights.into_iter();
            let first = rest.next().expect("there is one");
            ((first.0, rest.map(|(blob, _)| blob).collect()), first.1)
        };
        let blobs = |opened: Vec<(OpenBlob, Facts)>| opened.into_iter().map(|(blob, _)| blob);
        Ok(Ready {
            weights: weights.0,
            shards: weights.1,
            adapters: blobs(self.open_all(&model, LayerKind::Adapter, reporter).await?).collect(),
            projectors: blobs(
                self.open_all(&model, LayerKind::Projector, reporter)
                    .await?,
            )
            .collect(),
            draft: blobs(self.open_all(&model, LayerKind::Draft, reporter).await?).next(),
            facts,
            model,
        })
    }

    async fn open_all(
        &self,
        model: &Model,
        kind: LayerKind,
        reporter: &Reporter,
    ) -> Result<Vec<(OpenBlob, Facts)>> {
        let mut opened = Vec::new();
        for layer in model.manifest.layers_of(kind) {
            opened.push(self.open_checked(model, layer, reporter).await?);
        }
        Ok(opened)
    }

    async fn open_checked(
        &self,
        model: &Model,
        layer: &Layer,
        reporter: &Reporter,
    ) -> Result<(OpenBlob, Facts)> {
        let (digest, size) = (layer.digest, layer.size);
        let bad = |found| damaged(&model.name, digest, found);
        let blob = self
            .check_blob(&digest, Some(size), reporter)
            .await?
            .map_err(bad)?;
        let facts = self
            .facts(&digest, &blob, Trust::Stamp)
            .await?
            .map_err(|problem| bad(Damage::Gguf(problem)))?;
        let GoodBlob { file, .. } = blob;
        let file = self
            .on_disk(move |store| {
                // The reader shares its place in the file with us.
                crate::fs::rewind(&file, &store.blob(&digest))?;
                Ok(file)
            })
            .await?;
        Ok((OpenBlob { digest, size, file }, facts))
    }
}
