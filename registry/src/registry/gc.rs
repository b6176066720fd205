//! Garbage collection: blobs that nothing names.

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

/// What a collection removed, and what it left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Blobs removed.
    pub removed: Vec<Digest>,
    /// Bytes given back, with those of files that were made of removed blobs.
    pub bytes: u64,
    /// Models whose manifests are damaged. What they name is not known, so as long as there is one, nothing is removed.
    pub blocked_by: Vec<ModelName>,
    /// Links and files among the manifests that have no name here; other programs may keep models by them. They block as well.
    pub strange: Vec<PathBuf>,
}

impl GcReport {
    /// True when nothing was removed because it is not known what is needed.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !(self.blocked_by.is_empty() && self.strange.is_empty())
    }
}

impl Registry {
    /// Removes every blob that no manifest, lease or running operation names, what was made of blobs that are gone,
    /// and the saved states of models that are gone.
    /// What was moved aside as damaged stays.
    ///
    /// # Errors
    /// When the files cannot be read or removed.
    pub async fn gc(&self) -> Result<GcReport> {
        self.detached(|registry| async move { registry.collect(None).await })
            .await
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

    /// Removes unnamed blobs: all of them, or only those among `candidates`.
    pub(super) async fn collect(&self, candidates: Option<HashSet<Digest>>) -> Result<GcReport> {
        // Alone from here on: nobody can begin to rely on a blob between the question who needs it and its end.
        let _gate = self.0.gate.write().await;
        let mut needed = self.0.index.leased(Timestamp::now()).await?;
        needed.extend(relock(&self.0.pins).keys());
        let kept = self.0.index.kept_manifests().await?;
        let (report, derived) = self
            .on_disk(move |store| sweep(store, needed, &kept, candidates))
            .await?;
        let gone = [report.removed.as_slice(), &derived].concat();
        if let Err(error) = self.0.index.forget_blobs(&gone).await {
            // A row about a file that is gone says nothing, because no new file will have its stamp.
            tracing::warn!(%error, "removed blobs could not be taken from the index");
        }
        Ok(report)
    }
}

/// Answers with what the index knew the removed files by that were made of blobs.
/// Manifests are read from their files here and not from the index: to delete by a wrong row would be to lose a model.
fn sweep(
    store: &Store,
    mut needed: HashSet<Digest>,
    kept: &HashMap<ModelName, KeptManifest>,
    candidates: Option<HashSet<Digest>>,
) -> Result<(GcReport, Vec<Digest>)> {
    let ManifestNames { names, strange } = store.walk()?;
    let mut report = GcReport {
        strange,
        ..GcReport::default()
    };
    let mut computing = HashSet::new();
    for place in names {
        // One that went since was removed by its owner, and needs nothing.
        let Some(file) = store.read_manifest(&place.name)? else {
            continue;
        };
        // What mends a manifest is needed until then.
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
    // What was computed can be computed again, so those of damaged manifests go as well: they hold what users wrote to models that may be gone.
    store.keep_states_of(&computing)?;
    if !report.is_blocked() {
        for (digest, kind) in store.all_blobs()? {
            let candidate = candidates
                .as_ref()
                .is_none_or(|candidates| candidates.contains(&digest));
            if !candidate || needed.contains(&digest) || !matches!(kind, Kind::File(_)) {
                continue;
            }
            if let Some(bytes) = store.remove_blob(&digest)? {
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
