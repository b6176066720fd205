//! Copying a model to a second name, and publishing a manifest under a name.

use std::collections::HashSet;

use tokio_util::sync::CancellationToken;

use crate::{
    Digest, ModelName,
    error::{Error, Result},
    manifest::Manifest,
    source,
    store::Step,
};

use super::{Pins, Registry};

impl Registry {
    /// Copies a model to a second name, and replaces the model there. No blob is copied.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::DamagedManifest`] when the source cannot be understood.
    pub async fn copy(&self, source: &ModelName, destination: &ModelName) -> Result<()> {
        let (file, pins) = self.pinned_manifest(source).await?;
        let (manifest, bytes) = file.good(&self.0.store)?;
        self.publish(destination, manifest, bytes, vec![pins], None)
            .await
            .map(|_| ())
    }

    /// Publishes a manifest under a name. Returns the model's digest.
    /// `bytes` is `manifest` as stored. Once `dropped` is cancelled, nothing is published. `pins` has kept the blobs until now.
    ///
    /// # Errors
    /// [`Error::BlobNotFound`] when a blob is not here in the stated size. The name then leads to what it led to before.
    pub(super) async fn publish(
        &self,
        name: &ModelName,
        manifest: Manifest,
        bytes: Vec<u8>,
        pins: Vec<Pins>,
        dropped: Option<CancellationToken>,
    ) -> Result<Digest> {
        let name = name.clone();
        self.detached(|registry| async move {
            let digest = Digest::of(&bytes);
            let replaced = registry
                .publish_manifest(name, &manifest, bytes, dropped)
                .await?;
            // The manifest keeps its blobs now; the pins of replaced blobs end.
            drop(pins);
            if let Some(replaced) = replaced.filter(|replaced| !replaced.is_empty()) {
                // The model is published. Replaced blobs are removed now, or by the next collection.
                if let Err(error) = registry.collect(Some(replaced)).await {
                    tracing::warn!(%error, "the blobs of the replaced model were not removed");
                }
            }
            Ok(digest)
        })
        .await
    }

    /// Whether a name leads to a manifest of these bytes already.
    pub(super) async fn leads_to(&self, name: &ModelName, bytes: &[u8]) -> Result<bool> {
        let (name, digest) = (name.clone(), Digest::of(bytes));
        self.on_disk(move |store| {
            let file = store.read_manifest(&name)?;
            Ok(file.is_some_and(|file| file.digest == digest))
        })
        .await
    }

    /// Returns the blobs of the model that had the name, unless the new one has them too.
    async fn publish_manifest(
        &self,
        name: ModelName,
        manifest: &Manifest,
        bytes: Vec<u8>,
        dropped: Option<CancellationToken>,
    ) -> Result<Option<HashSet<Digest>>> {
        let blobs: Vec<(Digest, u64)> = manifest
            .blobs()
            .map(|layer| (layer.digest, layer.size))
            .collect();
        let kept = bytes.clone();
        let digests: Vec<Digest> = blobs.iter().map(|(digest, _)| *digest).collect();
        let _gate = self.0.gate.read().await;
        let _pins = self.pin(digests.iter().copied());
        let _names = self.0.names.lock().await;
        // Checked under the lock that a removal of the name takes too.
        if dropped.is_some_and(|dropped| dropped.is_cancelled()) {
            return Err(source::Error::Cancelled.into());
        }
        let (name, old) = self
            .on_disk(move |store| {
                for (digest, size) in blobs {
                    if store.look_at_blob(&digest, size)?.is_some() {
                        return Err(Error::BlobNotFound { digest });
                    }
                }
                let old = store.read_manifest(&name)?;
                let (name, _) = store.resolve(&name)?;
                // An unchanged model keeps its time of modification.
                if old.as_ref().is_none_or(|file| file.bytes != bytes) {
                    store.publish_manifest(&name, &bytes)?;
                }
                Ok((name, old.and_then(|file| file.manifest.ok())))
            })
            .await?;
        self.revise();
        // The model is published. The index follows now, or with the next list.
        let noted = async {
            self.0.index.keep_manifest(&name, &kept).await?;
            self.note_down(name).await?;
            self.0.store.done(Step::ManifestRecorded);
            self.0.index.release(&digests).await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "the new model could not be noted down");
        }
        let old = old.map(|old| {
            old.blobs()
                .map(|layer| layer.digest)
                .filter(|digest| !digests.contains(digest))
                .collect()
        });
        Ok(old)
    }
}
