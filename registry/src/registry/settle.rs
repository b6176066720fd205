//! Compares a manifest file with the text in the index, to tell a damaged file from a file that another program wrote.
//!
//! The index keeps each manifest as it was published, or first found whole. A whole file with other bytes was written by another
//! program, and replaces the indexed text. A damaged file is replaced by the indexed text, if all blobs of that are here.

use std::collections::HashSet;

use crate::{
    Digest,
    error::Result,
    manifest::Manifest,
    store::{ManifestFile, Store},
};

use super::Registry;

/// A manifest after the comparison.
#[derive(Debug)]
pub(super) struct Settled {
    /// The file as it is now.
    pub(super) file: ManifestFile,
    /// The damage that was mended by the kept text.
    pub(super) mended: Option<String>,
    /// The change for the index.
    news: Change,
}

/// How the manifest differs from the kept one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Nothing to record.
    Nothing,
    /// It is good and replaces the kept one.
    Whole,
    /// The kept one replaced it.
    Mended,
}

impl Settled {
    fn new(file: ManifestFile, news: Change) -> Self {
        Self {
            file,
            mended: None,
            news,
        }
    }
}

impl Registry {
    /// Compares a manifest with the kept one of its name, and mends it. To be called with the gate held, without the names lock.
    ///
    /// # Errors
    /// When the index or the files cannot be read.
    pub(super) async fn settle(&self, file: ManifestFile) -> Result<Settled> {
        let index = &self.0.index;
        if index.kept_digest(&file.name).await? == Some(file.digest) {
            return Ok(Settled::new(file, Change::Nothing));
        }
        let _names = self.0.names.lock().await;
        let kept = index.kept_manifest(&file.name).await?;
        let settled = self
            .on_disk(move |store| compare(store, file, kept))
            .await?;
        let noted = match settled.news {
            Change::Nothing => Ok(()),
            Change::Whole => {
                let ManifestFile { name, bytes, .. } = &settled.file;
                index.keep_manifest(name, bytes).await
            }
            Change::Mended => self.note_down(settled.file.name.clone()).await,
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "what was found out about a manifest could not be noted down");
        }
        Ok(settled)
    }
}

/// The damage of a manifest or of its blobs; `None` for a good manifest. No blob is read.
pub(super) fn fault(store: &Store, file: &ManifestFile) -> Result<Option<String>> {
    let manifest = match &file.manifest {
        Ok(manifest) => manifest,
        Err(problem) => return Ok(Some(problem.to_string())),
    };
    Ok(missing(store, manifest)?.or_else(|| manifest.strange_layers().next()))
}

fn missing(store: &Store, manifest: &Manifest) -> Result<Option<String>> {
    for layer in manifest.blobs() {
        if let Some(damage) = store.look_at_blob(&layer.digest, layer.size)? {
            return Ok(Some(format!("blob {} {damage}", layer.digest)));
        }
    }
    Ok(None)
}

fn compare(store: &Store, seen: ManifestFile, kept: Option<Vec<u8>>) -> Result<Settled> {
    // The name may have been changed or removed since it was read.
    let Some(file) = store.read_manifest(&seen.name)? else {
        return Ok(Settled::new(seen, Change::Nothing));
    };
    if kept.as_ref() == Some(&file.bytes) {
        return Ok(Settled::new(file, Change::Nothing));
    }
    let Some(fault) = fault(store, &file)? else {
        if kept.is_some() {
            tracing::warn!(model = %file.name, "the manifest was written by another program; it is whole, and taken as it is");
        }
        return Ok(Settled::new(file, Change::Whole));
    };
    match kept {
        Some(kept) if replaces(store, &kept, &file)? => mend(store, file, &kept, fault),
        _ => Ok(Settled::new(file, Change::Nothing)),
    }
}

/// Whether a kept text is to take the place of a file that is not whole.
fn replaces(store: &Store, kept: &[u8], file: &ManifestFile) -> Result<bool> {
    let Ok(kept) = Manifest::parse(kept) else {
        return Ok(false);
    };
    if missing(store, &kept)?.is_some() {
        return Ok(false);
    }
    Ok(match &file.manifest {
        // With other blobs, all of them here, it is another model: a later program may know more kinds of layers.
        Ok(found) => digests(found) == digests(&kept) || missing(store, found)?.is_some(),
        Err(_) => true,
    })
}

fn digests(manifest: &Manifest) -> HashSet<Digest> {
    manifest.blobs().map(|layer| layer.digest).collect()
}

fn mend(store: &Store, file: ManifestFile, kept: &[u8], fault: String) -> Result<Settled> {
    let published = store
        .set_manifest_aside(&file)
        .and_then(|()| store.publish_manifest(&file.name, kept));
    if let Err(error) = published {
        tracing::warn!(model = %file.name, %fault, %error, "the manifest is damaged, and could not be mended");
        return Ok(Settled::new(file, Change::Nothing));
    }
    tracing::warn!(model = %file.name, %fault, "the manifest was damaged, and was restored from the index");
    let file = store.read_manifest(&file.name)?.unwrap_or(file);
    Ok(Settled {
        mended: Some(fault),
        ..Settled::new(file, Change::Mended)
    })
}
