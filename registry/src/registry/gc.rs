//! Garbage collection: removes blobs that nothing names.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use jiff::Timestamp;

use crate::{
    Digest, ModelName,
    error::Result,
    fs::Kind,
    index::KeptManifest,
    store::{Derived, ManifestNames, Store},
};

use super::{Registry, relock, settle};

/// The result of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Blobs removed.
    pub removed: Vec<Digest>,
    /// Bytes freed, translations of removed blobs included.
    pub bytes: u64,
    /// Models with damaged manifests. Their blobs are unknown, so nothing is removed while there is one.
    pub blocked_by: Vec<ModelName>,
    /// Links and files among the manifests that other programs may use as models. They block the collection as well.
    pub strange: Vec<PathBuf>,
}

impl GcReport {
    /// True when nothing was removed because the needed blobs are unknown.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !(self.blocked_by.is_empty() && self.strange.is_empty())
    }
}

impl Registry {
    /// Removes every blob that no manifest, lease or running operation names, translations of removed blobs,
    /// and saved states of removed models.
    /// Quarantined files stay.
    ///
    /// # Errors
    /// When the files cannot be read or removed.
    pub async fn gc(&self) -> Result<GcReport> {
        self.detached(|registry| async move { registry.collect(None).await })
            .await
    }

    /// The number and bytes of blobs that [`Registry::gc`] would remove; `None` where it would remove nothing, because a manifest cannot be
    /// read.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub async fn unnamed_blobs(&self) -> Result<Option<(u64, u64)>> {
        let _gate = self.0.gate.read().await;
        let needed = self.needed_now().await?;
        let kept = self.0.index.kept_manifests().await?;
        self.on_disk(move |store| {
            let survey = Survey::of(store, needed, &kept)?;
            let unnamed = survey.unnamed(store)?;
            Ok(unnamed.map(|blobs| {
                let bytes = blobs.iter().map(|(_, bytes)| bytes);
                (blobs.len() as u64, bytes.sum())
            }))
        })
        .await
    }

    /// The blobs that leases and running operations name.
    async fn needed_now(&self) -> Result<HashSet<Digest>> {
        let mut needed = self.0.index.leased(Timestamp::now()).await?;
        needed.extend(relock(&self.0.pins).keys());
        Ok(needed)
    }

    /// Ends the leases of blobs and removes the blobs that nothing needs. A later collection removes what cannot be removed now.
    pub(crate) async fn let_go(&self, digests: Vec<Digest>) {
        if digests.is_empty() {
            return;
        }
        let collected = self
            .detached(|registry| async move {
                registry.0.index.release(&digests).await?;
                registry.collect(Some(digests.into_iter().collect())).await
            })
            .await;
        if let Err(error) = collected {
            tracing::warn!(%error, "blobs that are not needed any more stay for now");
        }
    }

    /// Removes unnamed blobs: all of them, or only `candidates`.
    pub(super) async fn collect(&self, candidates: Option<HashSet<Digest>>) -> Result<GcReport> {
        // Exclusive from here on: no operation can begin to rely on a blob between the check and its removal.
        let _gate = self.0.gate.write().await;
        let needed = self.needed_now().await?;
        let kept = self.0.index.kept_manifests().await?;
        let (report, derived) = self
            .on_disk(move |store| sweep(store, needed, &kept, candidates))
            .await?;
        let gone = [report.removed.as_slice(), &derived].concat();
        if let Err(error) = self.0.index.forget_blobs(&gone).await {
            // Rows of removed files are harmless: no new file has their stamps.
            tracing::warn!(%error, "removed blobs could not be taken from the index");
        }
        Ok(report)
    }
}

/// What the manifests on the disk say about the need for blobs.
struct Survey {
    /// Without blobs that were removed.
    report: GcReport,
    /// Blobs that something names.
    needed: HashSet<Digest>,
    /// The state keys of the models.
    computing: HashSet<Digest>,
}

impl Survey {
    /// Reads the manifests from their files, not from the index: a wrong row would cost a model.
    fn of(
        store: &Store,
        mut needed: HashSet<Digest>,
        kept: &HashMap<ModelName, KeptManifest>,
    ) -> Result<Self> {
        let ManifestNames { names, strange } = store.walk()?;
        let mut report = GcReport {
            strange,
            ..GcReport::default()
        };
        let mut computing = HashSet::new();
        for place in names {
            // A manifest that is gone by now was removed, and needs no blob.
            let Some(file) = store.read_manifest(&place.name)? else {
                continue;
            };
            // The blobs of the kept manifest are needed until it has mended the damaged one.
            if let Some(kept) = kept.get(&file.name)
                && kept.digest != file.digest
                && settle::fault(store, &file)?.is_some()
            {
                needed.extend(&kept.blobs);
            }
            match file.manifest {
                Ok(manifest) => {
                    computing.insert(manifest.state_key());
                    needed.extend(manifest.blobs().map(|layer| layer.digest));
                }
                Err(_) => report.blocked_by.push(file.name),
            }
        }
        Ok(Self {
            report,
            needed,
            computing,
        })
    }

    /// Blobs that nothing names, with their sizes; `None` where the needed blobs are unknown.
    fn unnamed(&self, store: &Store) -> Result<Option<Vec<(Digest, u64)>>> {
        if self.report.is_blocked() {
            return Ok(None);
        }
        let blobs = store.all_blobs()?.into_iter();
        let unnamed = blobs.filter_map(|(digest, kind)| match kind {
            Kind::File(stamp) if !self.needed.contains(&digest) => Some((digest, stamp.size)),
            _ => None,
        });
        Ok(Some(unnamed.collect()))
    }
}

/// Returns the digests under which the index knows the removed translations.
fn sweep(
    store: &Store,
    needed: HashSet<Digest>,
    kept: &HashMap<ModelName, KeptManifest>,
    candidates: Option<HashSet<Digest>>,
) -> Result<(GcReport, Vec<Digest>)> {
    let survey = Survey::of(store, needed, kept)?;
    // States can be computed again, so states of damaged manifests go as well: they hold prompts of users for models that may be gone.
    store.keep_states_of(&survey.computing)?;
    let unnamed = survey.unnamed(store)?;
    let mut report = survey.report;
    if let Some(unnamed) = unnamed {
        for (digest, _) in unnamed {
            let candidate = candidates
                .as_ref()
                .is_none_or(|candidates| candidates.contains(&digest));
            if candidate && let Some(bytes) = store.remove_blob(&digest)? {
                report.removed.push(digest);
                report.bytes += bytes;
            }
        }
        store.sync_blobs()?;
    }
    let (derived, bytes) = store.sweep_derived()?;
    report.bytes += bytes;
    Ok((report, derived.iter().map(Derived::key).collect()))
}
