//! Manifests: the names of models, as files.

use std::{ffi::OsString, path::PathBuf};

use crate::{
    Digest, ModelName,
    error::{Error, Result},
    fs::{self, Kind, Stamp},
    manifest::{MANIFEST_MAX, Manifest, ManifestError},
};

use super::{Step, Store};

/// A name and the stamp of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StampedName {
    /// The name, in the case of the files.
    pub(crate) name: ModelName,
    /// The stamp of the manifest file.
    pub(crate) stamp: Stamp,
}

/// The names below `manifests/`.
#[derive(Debug, Default)]
pub(crate) struct ManifestNames {
    /// Every name.
    pub(crate) names: Vec<StampedName>,
    /// Files and folders that may hold manifests of other programs, under names or links that slm does not take.
    pub(crate) strange: Vec<PathBuf>,
}

/// A manifest file that was read.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    /// The name, in the case of the files.
    pub(crate) name: ModelName,
    /// SHA-256 of the file.
    pub(crate) digest: Digest,
    /// Its stamp.
    pub(crate) stamp: Stamp,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// What they say.
    pub(crate) manifest: Result<Manifest, ManifestError>,
}

impl ManifestFile {
    /// The manifest, or the error that names the model.
    pub(crate) fn good(self, store: &Store) -> Result<(Manifest, Vec<u8>)> {
        match self.manifest {
            Ok(manifest) => Ok((manifest, self.bytes)),
            Err(source) => Err(Error::DamagedManifest {
                path: store.manifest(&self.name),
                model: self.name,
                source: Box::new(source),
            }),
        }
    }
}

impl Store {
    /// The name in the case of the files, and whether a manifest stands there.
    ///
    /// Names are matched without regard to case. An existing part keeps its case,
    /// so that no two names of slm differ in case only. Where other programs made such names, an exact match goes first.
    pub(crate) fn resolve(&self, name: &ModelName) -> Result<(ModelName, bool)> {
        if self.stands(name)? {
            return Ok((name.clone(), true));
        }
        let mut best = Vec::new();
        let mut folders = name.folders();
        let found = self.search(&mut Vec::new(), &folders, &mut best)?;
        for (folder, there) in folders.iter_mut().zip(best) {
            *folder = there;
        }
        let [host, namespace, model, tag] = &folders;
        let resolved = ModelName::from_folders(host, namespace, model, tag)?;
        Ok((resolved, found))
    }

    /// Whether the manifest of exactly this name is a file, below folders that are folders and no links.
    fn stands(&self, name: &ModelName) -> Result<bool> {
        let mut path = self.manifests();
        for (depth, part) in name.folders().iter().enumerate() {
            path.push(part);
            match (depth, fs::look(&path)?) {
                (3, Some(Kind::File(_))) | (0..3, Some(Kind::Folder)) => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Descends the folders along `parts`. `best` becomes the full match or else the longest prefix.
    fn search(
        &self,
        taken: &mut Vec<String>,
        parts: &[String; 4],
        best: &mut Vec<String>,
    ) -> Result<bool> {
        let folder = taken
            .iter()
            .fold(self.manifests(), |path, part| path.join(part));
        let wanted = &parts[taken.len()];
        let mut names: Vec<String> = fs::names(&folder)?
            .into_iter()
            .filter(|name| name.eq_ignore_ascii_case(wanted))
            .collect();
        names.sort_by_key(|name| name != wanted);
        for name in names {
            let kind = fs::look(&folder.join(&name))?;
            let leaf = taken.len() == 3;
            if !matches!(
                (leaf, kind),
                (true, Some(Kind::File(_))) | (false, Some(Kind::Folder))
            ) {
                continue;
            }
            taken.push(name);
            if taken.len() > best.len() {
                best.clone_from(taken);
            }
            if leaf || self.search(taken, parts, best)? {
                best.clone_from(taken);
                return Ok(true);
            }
            taken.pop();
        }
        Ok(false)
    }

    /// Reads the manifest of a name, matched without regard to case; `None` where there is none.
    pub(crate) fn read_manifest(&self, name: &ModelName) -> Result<Option<ManifestFile>> {
        let (name, found) = self.resolve(name)?;
        if !found {
            return Ok(None);
        }
        let path = self.manifest(&name);
        let Some(file) = fs::open_if_there(&path)? else {
            return Ok(None);
        };
        let stamp = fs::stamp(&file, &path)?;
        let bytes = fs::read_bounded(&file, &path, MANIFEST_MAX)?;
        let manifest = match bytes.len() as u64 > MANIFEST_MAX {
            true => Err(ManifestError::TooLarge(stamp.size)),
            false => Manifest::parse(&bytes),
        };
        Ok(Some(ManifestFile {
            name,
            digest: Digest::of(&bytes),
            stamp,
            bytes,
            manifest,
        }))
    }

    /// Every name with the stamp of its file, and the paths that are not names.
    pub(crate) fn walk(&self) -> Result<ManifestNames> {
        let mut walk = ManifestNames::default();
        self.descend(&mut Vec::new(), &mut walk)?;
        for path in &walk.strange {
            tracing::warn!(path = %path.display(), "this cannot be taken for a manifest of a model");
        }
        Ok(walk)
    }

    /// Walks the folder at `taken`, down to the tags.
    fn descend(&self, taken: &mut Vec<OsString>, walk: &mut ManifestNames) -> Result<()> {
        let folder: PathBuf = std::iter::once(self.manifests().into_os_string())
            .chain(taken.iter().cloned())
            .collect();
        let is_tag = taken.len() == 3;
        for part in fs::entries(&folder)? {
            // No program uses names that begin with a dot: such files are from desktops and editors.
            if part.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = folder.join(&part);
            match (fs::look(&path)?, is_tag) {
                (Some(Kind::Folder), false) => {
                    taken.push(part);
                    self.descend(taken, walk)?;
                    taken.pop();
                }
                (Some(Kind::File(stamp)), true) => {
                    let parts: Option<Vec<&str>> = taken
                        .iter()
                        .chain([&part])
                        .map(|part| part.to_str())
                        .collect();
                    match parts.as_deref() {
                        Some([host, namespace, model, tag])
                            if let Ok(name) =
                                ModelName::from_folders(host, namespace, model, tag) =>
                        {
                            walk.names.push(StampedName { name, stamp });
                        }
                        _ => walk.strange.push(path),
                    }
                }
                // Every program keeps manifests as files, four levels deep.
                (None, _) | (Some(Kind::File(_)), false) | (Some(Kind::Folder), true) => {}
                (Some(Kind::Other(_)), _) => walk.strange.push(path),
            }
        }
        Ok(())
    }

    /// Publishes a manifest under a name that [`Store::resolve`] gave. From the rename on, the model is there.
    pub(crate) fn publish_manifest(&self, name: &ModelName, bytes: &[u8]) -> Result<Stamp> {
        let (temp, file) = self.new_temp_file()?;
        let written = fs::write(&file, &temp, bytes, bytes.len() as u64);
        let published = written.and_then(|()| {
            self.done(Step::ManifestWritten);
            fs::sync(&file, &temp)?;
            self.done(Step::ManifestSynced);
            let folder = self.make_folders(name)?;
            let path = self.manifest(name);
            fs::rename(&temp, &path)?;
            self.done(Step::ManifestRenamed);
            fs::sync_folder(&folder)?;
            self.done(Step::ManifestFolderSynced);
            fs::stamp(&file, &path)
        });
        if published.is_err() {
            fs::remove(&temp)?;
        }
        published
    }

    /// Keeps a copy of a damaged manifest beside the blobs that were moved aside.
    pub(crate) fn set_manifest_aside(&self, file: &ManifestFile) -> Result<()> {
        let folder = self.quarantine_folder();
        let aside = folder.join(format!("{}.manifest", file.digest.file_name()));
        let (temp, out) = self.new_temp_file()?;
        let written = fs::write(&out, &temp, &file.bytes, file.bytes.len() as u64);
        let kept = written
            .and_then(|()| fs::sync(&out, &temp))
            .and_then(|()| fs::rename(&temp, &aside));
        if kept.is_err() {
            fs::remove(&temp)?;
        }
        kept?;
        fs::sync_folder(&folder)
    }

    /// Makes the folders above a manifest, each durable before the next.
    fn make_folders(&self, name: &ModelName) -> Result<PathBuf> {
        let mut folder = self.manifests();
        for part in &name.folders()[..3] {
            let above = folder.clone();
            folder.push(part);
            let is_new = fs::create_folder(&folder)?;
            if !is_new && let Some(Kind::Other(found)) = fs::look(&folder)? {
                return Err(Error::NotRegular {
                    path: folder,
                    found,
                });
            }
            // Also for an existing folder: the process that made it may have been killed before its sync.
            fs::sync_folder(&above)?;
        }
        Ok(folder)
    }

    /// Removes the manifest of a name that [`Store::resolve`] gave, and the folders that become empty.
    pub(crate) fn remove_manifest(&self, name: &ModelName) -> Result<()> {
        let path = self.manifest(name);
        fs::remove(&path)?;
        self.done(Step::NameRemoved);
        let mut folder = path.parent().expect("a manifest lies in a folder");
        fs::sync_folder(folder)?;
        self.done(Step::NameFolderSynced);
        while folder != self.manifests() && fs::remove_empty_folder(folder)? {
            folder = folder
                .parent()
                .expect("a folder of names lies below another");
        }
        Ok(())
    }
}
