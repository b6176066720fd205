//! Weights in Ollama's layout, translated for llama.cpp.
//!
//! The manifest names the blob as it was pulled. Its translation lies in `derived/`, is made when the model is first loaded,
//! and is trusted until its stamp (device, inode, size, mtime or ctime) changes.

use crate::{
    Digest, OpenBlob, Reporter,
    error::{Error, Result},
    facts::Facts,
    gguf::{self, Gguf},
    store::{Derived, Store},
    translate::{self, Foreign, Part, Plan},
};

use super::{Registry, blobs::GoodBlob};

impl Registry {
    /// The translation of a blob, or of the projector in it, open for reading, with its facts.
    ///
    /// # Errors
    /// [`Error::Translate`] when the layout cannot be translated; [`Error::NoSpace`]; or when a file cannot be read or written.
    pub(super) async fn translated(
        &self,
        digest: Digest,
        blob: GoodBlob,
        foreign: Foreign,
        part: Part,
        reporter: &Reporter,
    ) -> Result<(OpenBlob, Facts)> {
        let reporter = reporter.clone();
        let pins = self.pinned_blob(&digest).await;
        // The translation continues if its caller is cancelled, because the next load needs it.
        self.detached(move |registry| async move {
            let _pins = pins;
            let derived = Derived {
                source: digest,
                part,
            };
            registry.derive(derived, blob, foreign, &reporter).await
        })
        .await
    }

    async fn derive(
        &self,
        derived: Derived,
        blob: GoodBlob,
        foreign: Foreign,
        reporter: &Reporter,
    ) -> Result<(OpenBlob, Facts)> {
        let key = derived.key();
        let turn = self.turn(&key);
        let _turn = turn.lock().await;
        let there = self.on_disk(move |store| store.open_derived(&derived));
        if let Some((file, stamp)) = there.await? {
            let row = self.0.index.blob(&key, stamp).await?;
            if let (true, Some(Ok(facts))) = (row.verified, row.gguf) {
                let size = stamp.size;
                return Ok((
                    OpenBlob {
                        digest: key,
                        size,
                        file,
                    },
                    facts,
                ));
            }
        }
        tracing::info!(blob = %derived.source, part = derived.part.as_str(), family = foreign.family.name(),
            "translating weights from Ollama's layout into llama.cpp's");
        let reporter = reporter.clone();
        let made = self.on_disk(move |store| make(store, &derived, &blob, foreign, &reporter));
        let (file, stamp, facts) = made.await?;
        self.0.index.record_verified(&key, stamp).await?;
        let told = Ok(facts.clone());
        self.0.index.record_gguf(&key, stamp, &told).await?;
        let size = stamp.size;
        let opened = OpenBlob {
            digest: key,
            size,
            file,
        };
        Ok((opened, facts))
    }

    /// Compares the derived files of a verified blob with a new translation, and removes the ones that differ.
    /// Returns how many files were compared, and how many were removed.
    pub(super) async fn check_derived(
        &self,
        digest: Digest,
        blob: GoodBlob,
        foreign: Foreign,
    ) -> Result<(u64, u64)> {
        if foreign.check().is_err() {
            return Ok((0, 0));
        }
        let (found, wrong) = self
            .on_disk(move |store| {
                let (mut found, mut wrong) = (0, Vec::new());
                for part in foreign.parts() {
                    let derived = Derived {
                        source: digest,
                        part: *part,
                    };
                    let Some((file, _)) = store.open_derived(&derived)? else {
                        continue;
                    };
                    found += 1;
                    let plan = plan(store, &derived, &blob, foreign)?;
                    if !store.is_derived(&derived, &plan, &blob.file, &file)? {
                        tracing::warn!(blob = %digest, part = part.as_str(),
                            "a derived file differs from a new translation of its blob; it was removed, and will be made again");
                        store.remove_derived(&derived)?;
                        wrong.push(derived);
                    }
                }
                Ok((found, wrong))
            })
            .await?;
        let keys: Vec<_> = wrong.iter().map(Derived::key).collect();
        self.0.index.forget_blobs(&keys).await?;
        Ok((found, keys.len() as u64))
    }

    /// Checks that a file runs as it is, or can be translated. `what` names it in messages.
    ///
    /// # Errors
    /// [`Error::Translate`].
    pub(crate) fn can_run(facts: &Facts, what: impl FnOnce() -> String) -> Result<()> {
        let checked = facts.foreign.map_or(Ok(()), Foreign::check);
        checked.map_err(|source| Error::Translate {
            what: what(),
            source,
        })
    }
}

/// Reads the header of the blob and plans one of its translations.
fn plan(store: &Store, derived: &Derived, blob: &GoodBlob, foreign: Foreign) -> Result<Plan> {
    let gguf = read(store, derived, &mut &blob.file, blob.stamp.size)?;
    translate::plan(&gguf, &blob.file, foreign, derived.part)
        .map_err(|error| store.not_translated(derived, error))
}

fn make(
    store: &Store,
    derived: &Derived,
    blob: &GoodBlob,
    foreign: Foreign,
    reporter: &Reporter,
) -> Result<(std::fs::File, crate::fs::Stamp, Facts)> {
    let plan = plan(store, derived, blob, foreign)?;
    let temp = store.new_derived(derived, &plan, &blob.file, reporter)?;
    let facts = read(store, derived, &mut temp.file(), plan.size())?.facts();
    let (file, stamp) = temp.publish(derived)?;
    Ok((file, stamp, facts))
}

/// Reads a file with the strict reader.
fn read(
    store: &Store,
    derived: &Derived,
    file: &mut (impl std::io::Read + std::io::Seek),
    size: u64,
) -> Result<Gguf> {
    gguf::read(file, size).map_err(|error| match error {
        gguf::Error::Io { source, .. } => Error::Io {
            action: "read",
            path: store.blob(&derived.source),
            source,
        },
        refused => {
            let reason = refused.to_string();
            store.not_translated(derived, translate::Error::Refused { reason })
        }
    })
}
