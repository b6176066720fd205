//! The list of models, kept in the index and brought up to date with the manifest files.

use std::collections::HashMap;

use crate::{
    Details, ModelEntry, ModelName,
    error::Result,
    index::ModelRow,
    manifest::Manifest,
    store::{ManifestFile, StampedName, Store},
};

use super::{Registry, describe, load};

/// A manifest with what its list line needs, read from disk.
struct ListedManifest {
    file: ManifestFile,
    config: Option<crate::config::Config>,
    template: Option<String>,
    damage: Option<String>,
}

impl Registry {
    /// All models, latest written first. A damaged model is listed with its damage.
    ///
    /// Manifests are compared with the index by their stamps; only changed ones are read.
    ///
    /// # Errors
    /// When the folders or the index cannot be read.
    pub async fn list(&self) -> Result<Vec<ModelEntry>> {
        let mut entries = match self.compare().await? {
            Compared { kept, stale, gone } if stale.is_empty() && gone.is_empty() => kept,
            _ => {
                let _names = self.0.names.lock().await;
                // Another request may have brought the index up to date while this one waited for the lock.
                let Compared {
                    mut kept,
                    stale,
                    gone,
                } = self.compare().await?;
                let fresh = self.lines(stale).await?;
                kept.extend(fresh.iter().map(|row| row.entry.clone()));
                // The list is right even if the index cannot be written.
                if let Err(error) = self.0.index.record_models(&fresh, &gone).await {
                    tracing::warn!(%error, "the list of models could not be noted down");
                }
                kept
            }
        };
        entries.sort_by(|a, b| {
            b.modified
                .cmp(&a.modified)
                .then_with(|| a.name.cmp(&b.name))
        });
        Ok(entries)
    }

    /// Compares the lines of the index with the manifest files.
    async fn compare(&self) -> Result<Compared> {
        let names = self.on_disk(Store::walk).await?.names;
        let mut rows: HashMap<ModelName, ModelRow> = self
            .0
            .index
            .models()
            .await?
            .into_iter()
            .map(|row| (row.entry.name.clone(), row))
            .collect();
        let mut compared = Compared {
            kept: Vec::new(),
            stale: Vec::new(),
            gone: Vec::new(),
        };
        for place in names {
            match rows.remove(&place.name) {
                Some(row) if row.stamp == place.stamp => compared.kept.push(row.entry),
                _ => compared.stale.push(place),
            }
        }
        compared.gone = rows.into_keys().collect();
        Ok(compared)
    }

    /// New lines for changed manifests.
    async fn lines(&self, names: Vec<StampedName>) -> Result<Vec<ModelRow>> {
        let seen = self
            .on_disk(move |store| {
                let files = names
                    .iter()
                    .filter_map(|place| store.read_manifest(&place.name).transpose());
                files
                    .map(|file| look(store, file?))
                    .collect::<Result<Vec<_>>>()
            })
            .await?;
        let mut rows = Vec::with_capacity(seen.len());
        for seen in seen {
            rows.push(self.line(seen).await?);
        }
        Ok(rows)
    }

    /// Indexes the line of a model that was just published. The caller holds the names lock.
    pub(super) async fn note_down(&self, name: ModelName) -> Result<()> {
        let seen = self
            .on_disk(move |store| {
                store
                    .read_manifest(&name)?
                    .map(|file| look(store, file))
                    .transpose()
            })
            .await?;
        match seen {
            Some(seen) => {
                self.0
                    .index
                    .record_models(&[self.line(seen).await?], &[])
                    .await
            }
            None => Ok(()),
        }
    }

    async fn line(&self, seen: ListedManifest) -> Result<ModelRow> {
        let ListedManifest {
            file,
            config,
            template,
            damage,
        } = seen;
        let (size, details, capabilities) = match (&file.manifest, config) {
            (Ok(manifest), Some(config)) => {
                let facts = match describe::needs_facts(&config) {
                    true => self.header_of(manifest).await?,
                    false => None,
                };
                let (details, capabilities) =
                    describe::describe(manifest, &config, template.as_deref(), facts.as_ref());
                (manifest.size(), details, capabilities)
            }
            (Ok(manifest), None) => (manifest.size(), Details::default(), Vec::new()),
            (Err(_), _) => (0, Details::default(), Vec::new()),
        };
        let modified = file.stamp.modified();
        let entry = ModelEntry {
            name: file.name,
            digest: file.digest,
            size,
            modified,
            details,
            capabilities,
            damage,
        };
        Ok(ModelRow {
            stamp: file.stamp,
            entry,
        })
    }
}

struct Compared {
    kept: Vec<ModelEntry>,
    stale: Vec<StampedName>,
    gone: Vec<ModelName>,
}

/// Reads what a list line needs: the manifest, its config, and whether its blobs are there in the stated sizes.
fn look(store: &Store, file: ManifestFile) -> Result<ListedManifest> {
    let manifest = match &file.manifest {
        Ok(manifest) => manifest,
        Err(problem) => {
            let damage = Some(format!("its manifest is damaged: {problem}"));
            return Ok(ListedManifest {
                file,
                config: None,
                template: None,
                damage,
            });
        }
    };
    let (config, problem) = match load::read_config(store, manifest)? {
        Ok(config) => (Some(config), None),
        Err(load::ConfigProblem::Damaged(digest, damage)) => {
            (None, Some(format!("blob {digest} {damage}")))
        }
        Err(load::ConfigProblem::Unreadable(reason)) => {
            (None, Some(format!("its config is unusable: {reason}")))
        }
    };
    let damage = match problem {
        None => first_damage(store, manifest)?.or_else(|| manifest.strange_layers().next()),
        found => found,
    };
    let asks_template = config
        .as_ref()
        .is_some_and(|config| config.capabilities.is_empty());
    let template = match asks_template && damage.is_none() {
        // An unreadable template is ignored here; it is an error when the model is used.
        true => load::read_template(store, &file.name, manifest)
            .ok()
            .flatten(),
        false => None,
    };
    Ok(ListedManifest {
        file,
        config,
        template,
        damage,
    })
}

fn first_damage(store: &Store, manifest: &Manifest) -> Result<Option<String>> {
    for layer in &manifest.layers {
        if let Some(damage) = store.look_at_blob(&layer.digest, layer.size)? {
            return Ok(Some(format!("blob {} {damage}", layer.digest)));
        }
    }
    Ok(None)
}
