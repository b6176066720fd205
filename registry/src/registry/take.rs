//! Making a model from the manifest that a registry has of it.

use tokio_util::sync::CancellationToken;

use crate::{
    Digest, ModelName, Reporter, Stage,
    error::{Error, Result},
    manifest::{LayerKind, Manifest},
};

use super::{Registry, blobs::Trust, load};

impl Registry {
    /// Publishes a manifest under a name, byte for byte, when every blob that it names is here and good, and every GGUF file among
    /// them passes the strict reader. Returns the model's digest. Once `dropped` is cancelled, nothing is published.
    ///
    /// # Errors
    /// [`Error::Invalid`] for bytes that are not a manifest, or a manifest without weights; [`Error::BlobNotFound`], [`Error::DamagedBlob`],
    /// [`Error::NotGguf`], [`Error::Translate`] for its blobs. The name then leads to what it led to before.
    pub(crate) async fn take_manifest(
        &self,
        name: &ModelName,
        bytes: Vec<u8>,
        dropped: CancellationToken,
        reporter: &Reporter,
    ) -> Result<Digest> {
        let (name, reporter) = (name.clone(), reporter.clone());
        self.detached(
            |registry| async move { registry.taken(name, bytes, dropped, &reporter).await },
        )
        .await
    }

    async fn taken(
        self,
        name: ModelName,
        bytes: Vec<u8>,
        dropped: CancellationToken,
        reporter: &Reporter,
    ) -> Result<Digest> {
        let manifest = Manifest::parse(&bytes).map_err(|error| Error::Invalid {
            reason: format!("the manifest of {name} cannot be used: {error}"),
        })?;
        if manifest.layers_of(LayerKind::Model).next().is_none() {
            let reason = format!("{name} has no weights in GGUF");
            return Err(Error::Invalid { reason });
        }
        let mut pins = Vec::new();
        for layer in manifest.blobs() {
            let digest = layer.digest;
            pins.push(self.pinned_blob(&digest).await);
            let blob = self.good(&digest, Some(layer.size), reporter).await?;
            if layer.kind().is_gguf() {
                let what = || format!("the {} of {name}", noun(layer.kind()));
                let facts = self.facts(&digest, &blob, Trust::Stamp).await?;
                let facts = facts.map_err(|reason| Error::NotGguf {
                    what: what(),
                    reason,
                })?;
                Self::can_run(&facts, what)?;
            }
        }
        // Texts are read once, so that an unusable layer is an error now and not at the load.
        let (texts, of) = (manifest.clone(), name.clone());
        self.on_disk(move |store| {
            load::read_licenses(store, &of, &texts)?;
            load::SmallLayers::read(store, &of, texts)
        })
        .await?;
        for strange in manifest.strange_layers() {
            reporter.stage(Stage::UnknownLayer(strange));
        }
        reporter.stage(match self.leads_to(&name, &bytes).await? {
            true => Stage::Unchanged,
            false => Stage::WritingManifest,
        });
        self.publish(&name, manifest, bytes, pins, Some(dropped))
            .await
    }
}

fn noun(kind: LayerKind) -> &'static str {
    match kind {
        LayerKind::Adapter => "adapter",
        LayerKind::Projector => "projector",
        LayerKind::Draft => "draft model",
        _ => "weights",
    }
}
