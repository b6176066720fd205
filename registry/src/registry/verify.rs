//! Verification: every byte is hashed again, whatever the index says.

use std::collections::BTreeMap;

use crate::{
    Damage, Digest, ModelName, Reporter,
    error::{Error, Result},
    manifest::Manifest,
    store::{ManifestFile, Store},
};

use super::{Pins, Registry, blobs::Trust, settle::Settled};

/// What to verify, and what to do about damage.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Only these models; an empty list means all models and all blobs.
    pub names: Vec<ModelName>,
    /// Move damaged blobs aside, so that they can be fetched anew.
    pub quarantine: bool,
}

/// The result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Models whose manifests were read.
    pub models: u64,
    /// Blobs looked into.
    pub blobs: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Translated files that were compared with their blobs, and how many of them differed.
    /// They were removed, and are made again when they are needed, so they do not count as damage.
    pub translated: (u64, u64),
    /// Damaged blobs.
    pub damaged: Vec<DamagedBlob>,
    /// Models with damaged manifests, or with layers of unknown kinds.
    pub manifests: Vec<DamagedModel>,
    /// Blobs that no manifest names. They do not count as damage; collection removes them when their lease ends.
    pub unnamed: u64,
    /// Number and bytes of the files in quarantine.
    pub quarantined: (u64, u64),
}

impl VerifyReport {
    /// True when nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty() && self.manifests.is_empty()
    }
}

/// A damaged blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedBlob {
    /// Which blob.
    pub digest: Digest,
    /// What is wrong with it.
    pub found: Damage,
    /// The models that name it.
    pub models: Vec<ModelName>,
}

/// A model whose manifest is damaged, or has layers of unknown kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedModel {
    /// Which model.
    pub name: ModelName,
    /// What is wrong with its manifest.
    pub reason: String,
    /// The manifest was mended from the index.
    pub mended: bool,
}

/// What the manifests say of one blob.
#[derive(Debug, Default)]
struct Expected {
    /// The models that name it, with the size that each states.
    named: Vec<(ModelName, u64)>,
    /// Some model names it as a GGUF file.
    gguf: bool,
}

impl Registry {
    /// Hashes blobs again, and reads every GGUF file with the strict reader, whatever the index says.
    /// Translations are made again, and removed where they differ.
    /// A damaged manifest is mended from the index. Without quarantine, only the index is changed otherwise.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a name is not here, or when the store cannot be read. Damage is reported, not an error.
    pub async fn verify(
        &self,
        options: VerifyOptions,
        reporter: &Reporter,
    ) -> Result<VerifyReport> {
        let _permit = self.may_read(reporter).await;
        let VerifyOptions { names, quarantine } = options;
        let everything = names.is_empty();
        let (mut report, expected, _pins) = self.expectations(names).await?;
        for (digest, expected) in expected {
            report.blobs += 1;
            if everything && expected.named.is_empty() {
                report.unnamed += 1;
            }
            if let Some(found) = self
                .damage_of(&digest, &expected, quarantine, reporter, &mut report)
                .await?
            {
                let models = expected.named.into_iter().map(|(name, _)| name).collect();
                report.damaged.push(DamagedBlob {
                    digest,
                    found,
                    models,
                });
            }
        }
        if !report.damaged.is_empty() {
            self.relist().await?;
        }
        report.quarantined = self.on_disk(Store::quarantined).await?;
        Ok(report)
    }

    /// Reads the manifests, mends damaged ones where possible, and pins the blobs that they name.
    async fn expectations(
        &self,
        names: Vec<ModelName>,
    ) -> Result<(VerifyReport, BTreeMap<Digest, Expected>, Pins)> {
        let _gate = self.0.gate.read().await;
        let (files, blobs) = self
            .on_disk(move |store| {
                if names.is_empty() {
                    let files = store
                        .walk()?
                        .names
                        .into_iter()
                        .filter_map(|place| store.read_manifest(&place.name).transpose());
                    let blobs = store
                        .all_blobs()?
                        .into_iter()
                        .map(|(digest, _)| digest)
                        .collect();
                    return Ok((files.collect::<Result<Vec<_>>>()?, blobs));
                }
                let mut files = Vec::new();
                for name in names {
                    files.push(
                        store
                            .read_manifest(&name)?
                            .ok_or(Error::NotFound { name })?,
                    );
                }
                Ok((files, Vec::new()))
            })
            .await?;
        let mut report = VerifyReport {
            models: files.len() as u64,
            ..VerifyReport::default()
        };
        let mut expected: BTreeMap<Digest, Expected> = blobs
            .into_iter()
            .map(|digest| (digest, Expected::default()))
            .collect();
        for file in files {
            let Settled { file, mended, .. } = self.settle(file).await?;
            let ManifestFile { name, manifest, .. } = file;
            report.manifests.extend(mended.map(|reason| DamagedModel {
                name: name.clone(),
                reason,
                mended: true,
            }));
            match manifest {
                Ok(manifest) => {
                    expect(&mut expected, &name, &manifest);
                    report
                        .manifests
                        .extend(manifest.strange_layers().map(|reason| DamagedModel {
                            name: name.clone(),
                            reason,
                            mended: false,
                        }));
                }
                Err(problem) => report.manifests.push(DamagedModel {
                    name,
                    reason: problem.to_string(),
                    mended: false,
                }),
            }
        }
        let pins = self.pin(expected.keys().copied());
        Ok((report, expected, pins))
    }

    async fn damage_of(
        &self,
        digest: &Digest,
        expected: &Expected,
        quarantine: bool,
        reporter: &Reporter,
        report: &mut VerifyReport,
    ) -> Result<Option<Damage>> {
        let blob = match self
            .examine(digest, None, Trust::Nothing, quarantine, reporter)
            .await?
        {
            Ok(blob) => blob,
            Err(damage) => return Ok(Some(damage)),
        };
        report.bytes += blob.stamp.size;
        let found = blob.stamp.size;
        if let Some((_, expected)) = expected.named.iter().find(|(_, size)| *size != found) {
            return Ok(Some(Damage::Size {
                expected: *expected,
                found,
            }));
        }
        match expected.gguf {
            true => {
                let facts = match self.facts(digest, &blob, Trust::Nothing).await? {
                    Ok(facts) => facts,
                    Err(reason) => return Ok(Some(Damage::Gguf(reason))),
                };
                if let Some(foreign) = facts.foreign {
                    let (found, wrong) = self.check_derived(*digest, blob, foreign).await?;
                    report.translated.0 += found;
                    report.translated.1 += wrong;
                }
                Ok(None)
            }
            false => Ok(None),
        }
    }
}

fn expect(expected: &mut BTreeMap<Digest, Expected>, name: &ModelName, manifest: &Manifest) {
    for layer in manifest.blobs() {
        let blob = expected.entry(layer.digest).or_default();
        blob.gguf |= layer.kind().is_gguf();
        if !blob.named.iter().any(|(known, _)| known == name) {
            blob.named.push((name.clone(), layer.size));
        }
    }
}
