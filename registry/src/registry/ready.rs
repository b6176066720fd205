//! A model, checked and opened for a runner.

use crate::{
    Damage, Digest, Model, ModelName, OpenBlob, Ready, Reporter,
    error::{Error, Result},
    facts::Facts,
    manifest::{Layer, LayerKind},
    translate::{Foreign, Part},
};

use super::{
    Registry,
    blobs::{GoodBlob, Trust},
    load::damaged,
    split::{self, FileNames},
};

impl Registry {
    /// A model whose blobs are good, with its large ones opened for reading.
    ///
    /// A blob that was not hashed since its file last changed is hashed first, and `reporter` gets its progress;
    /// and every GGUF file passes the strict reader. What was found is remembered by the file's stamp.
    /// A file in a layout that only Ollama reads is brought into llama.cpp's when it is first asked for; `reporter` gets that progress too.
    /// The answer stays usable when the model is removed.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a blob is not good; one with other bytes is moved aside. [`Error::Translate`] when its layout cannot be translated. Otherwise as [`Registry::model`].
    pub async fn ready(&self, name: &ModelName, reporter: &Reporter) -> Result<Ready> {
        let (model, _pins) = self.pinned(name).await?;
        let mut weights = self.open_all(&model, LayerKind::Model, reporter).await?;
        if weights.is_empty() {
            return Err(Error::Invalid {
                reason: format!("model {} has no weights to run", model.name),
            });
        }
        // The parts of a split model may stand in any order; the first one knows the model.
        weights.sort_by_key(|opened| opened.facts.split.map(|split| split.number));
        let files: Vec<_> = weights
            .iter()
            .map(|opened| (opened.source, &opened.facts))
            .collect();
        split::check(&files, &FileNames::default())?;
        let mut rest = weights.into_iter();
        let Opened {
            blob,
            facts,
            projector,
            ..
        } = rest.next().expect("there is one");
        let shards = rest.map(|opened| opened.blob).collect();
        let blobs = |opened: Vec<Opened>| opened.into_iter().map(|opened| opened.blob);
        let mut projectors: Vec<_> = blobs(
            self.open_all(&model, LayerKind::Projector, reporter)
                .await?,
        )
        .collect();
        // A projector layer goes before the projector in the weights.
        if projectors.is_empty() {
            projectors.extend(projector);
        }
        Ok(Ready {
            weights: blob,
            shards,
            adapters: blobs(self.open_all(&model, LayerKind::Adapter, reporter).await?).collect(),
            projectors,
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
    ) -> Result<Vec<Opened>> {
        let mut opened = Vec::new();
        for layer in model.manifest.layers_of(kind) {
            opened.push(self.open_checked(model, layer, reporter).await?);
        }
        Ok(opened)
    }

    /// One layer with a GGUF file.
    pub(super) async fn open_layer(
        &self,
        model: &Model,
        layer: &Layer,
        reporter: &Reporter,
    ) -> Result<OpenBlob> {
        let opened = self.open_checked(model, layer, reporter).await?;
        Ok(opened.blob)
    }

    async fn open_checked(
        &self,
        model: &Model,
        layer: &Layer,
        reporter: &Reporter,
    ) -> Result<Opened> {
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
        if let Some(foreign) = facts.foreign {
            return self
                .open_translated(model, layer, blob, foreign, reporter)
                .await;
        }
        let GoodBlob { file, .. } = blob;
        let file = self
            .on_disk(move |store| {
                // The reader shares its place in the file with us.
                crate::fs::rewind(&file, &store.blob(&digest))?;
                Ok(file)
            })
            .await?;
        Ok(Opened {
            source: digest,
            blob: OpenBlob { digest, size, file },
            facts,
            projector: None,
        })
    }

    /// What a file in a layout of Ollama's own is in llama.cpp's.
    async fn open_translated(
        &self,
        model: &Model,
        layer: &Layer,
        blob: GoodBlob,
        foreign: Foreign,
        reporter: &Reporter,
    ) -> Result<Opened> {
        let source = layer.digest;
        let named = |error| Error::Translate {
            what: format!("model {}", model.name),
            source: error,
        };
        foreign.check().map_err(named)?;
        let sees = layer.kind() == LayerKind::Model
            && model.projectors().next().is_none()
            && foreign.parts().contains(&Part::Projector);
        let eyes = sees
            .then(|| blob.try_clone(&self.0.store, &source))
            .transpose()?;
        let part = foreign.parts()[0];
        let (blob, facts) = self
            .translated(source, blob, foreign, part, reporter)
            .await?;
        let projector = match eyes {
            Some(eyes) => Some(
                self.translated(source, eyes, foreign, Part::Projector, reporter)
                    .await?
                    .0,
            ),
            None => None,
        };
        Ok(Opened {
            source,
            blob,
            facts,
            projector,
        })
    }
}

/// A layer that was found good and is open.
struct Opened {
    /// The blob that the manifest names.
    source: Digest,
    /// What a runner gets of it.
    blob: OpenBlob,
    /// What the header of that says.
    facts: Facts,
    /// A projector that the blob held besides.
    projector: Option<OpenBlob>,
}
