//! From the layers of an artifact to the base of a model and the texts beside it.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use crate::convert::Format;
use crate::error::Result;
use crate::reference::Choice;
use crate::remote::artifact::{self, Packing, Role};
use crate::remote::{Beside, Listed, pick};
use crate::unpack::{Packed, unpack};
use crate::{Base, Digest, ModelName, Registry, RelPath, Reporter, Stage, Weights, remote};

/// Longest text of a licence or a chat template, in bytes.
const TEXT_MAX: u64 = 1 << 20;

impl Registry {
    /// Sorts the layers of an artifact, which are in the store, into what a model is made of. Archives are unpacked.
    ///
    /// # Errors
    /// [`remote::Error::NoSuchFile`] where none of them holds weights; errors of [`unpack`].
    pub(super) async fn assemble(
        &self,
        layers: Vec<(Role, Digest)>,
        place: &str,
        reporter: &Reporter,
    ) -> Result<(Base, Beside)> {
        let mut files: BTreeMap<RelPath, Digest> = BTreeMap::new();
        let mut texts: Vec<(Role, Digest)> = Vec::new();
        for (role, digest) in layers {
            match role {
                // As in an image, a later layer stands before an earlier one.
                Role::File(path) => drop(files.insert(path, digest)),
                Role::Archive(packing) => {
                    for (path, digest) in self.unpacked(digest, packing, place, reporter).await? {
                        match artifact::of_file(path) {
                            Some(Role::File(path)) => drop(files.insert(path, digest)),
                            Some(role) => texts.push((role, digest)),
                            None => {}
                        }
                    }
                }
                text => texts.push((text, digest)),
            }
        }
        let mut beside = Beside::default();
        for (role, digest) in texts {
            let text = self.text(digest, place).await?;
            match role {
                Role::ChatTemplate => beside.chat_template = Some(text),
                Role::Template => beside.template = Some(text),
                Role::System => beside.system = Some(text),
                Role::Parameters => {
                    beside.parameters =
                        serde_json::from_str(&text).map_err(|error| remote::Error::Document {
                            host: place.to_owned(),
                            what: "a file of parameters",
                            reason: error.to_string(),
                        })?;
                }
                _ if beside.license.is_none() => beside.license = Some(text),
                _ => {}
            }
        }
        Ok((self.base(files, place, reporter).await?, beside))
    }

    /// The digest of the model with this name, if it was made from this artifact and all of it is here.
    pub(super) async fn made_from(
        &self,
        name: &ModelName,
        artifact: &Digest,
    ) -> Result<Option<Digest>> {
        let Ok(model) = self.model(name).await else {
            return Ok(None);
        };
        if model.config.made_from != Some(*artifact) {
            return Ok(None);
        }
        for layer in model.manifest.blobs() {
            if !self.has_blob(&layer.digest).await? {
                return Ok(None);
            }
        }
        Ok(Some(model.digest))
    }

    /// One quantization in GGUF with its projector, else a folder of weights that is converted.
    async fn base(
        &self,
        files: BTreeMap<RelPath, Digest>,
        place: &str,
        reporter: &Reporter,
    ) -> Result<Base> {
        let mut listed = Vec::new();
        let mut digests = Vec::new();
        for (path, digest) in files.iter().filter(|(path, _)| artifact::is_gguf(path)) {
            let size = self.good(digest, None, reporter).await?.stamp.size;
            let path = path.as_str().to_owned();
            listed.push(Listed { path, size });
            digests.push(*digest);
        }
        let has_tensors = |path: &RelPath| path.file_name().ends_with(".safetensors");
        if listed.is_empty() && files.keys().any(has_tensors) {
            return Ok(Base::Folder(Weights {
                files: beside_the_weights(files),
                format: Format::default(),
            }));
        }
        let picked = pick(&listed, &Choice::Usual, place)?;
        for step in picked.steps {
            reporter.stage(Stage::Chosen(step));
        }
        let chosen = picked.weights.iter().chain(&picked.projector);
        Ok(Base::Blobs(chosen.map(|at| digests[*at]).collect()))
    }

    /// The files of an archive that may be of use, as blobs.
    async fn unpacked(
        &self,
        digest: Digest,
        packing: Packing,
        place: &str,
        reporter: &Reporter,
    ) -> Result<Vec<(RelPath, Digest)>> {
        let blob = self.good(&digest, None, reporter).await?;
        let packed = Packed {
            size: blob.stamp.size,
            file: blob.file,
            packing,
            title: format!("{place}, layer {}", digest.short()),
        };
        let cancelled = CancellationToken::new();
        // The thread cannot be dropped, so it is told that nothing waits for it.
        let _cancel = cancelled.clone().drop_guard();
        let reporter = reporter.clone();
        let (paths, temps) = self
            .on_disk(move |store| {
                let wanted = |path: &RelPath| artifact::of_file(path.clone()).is_some();
                let files = unpack(store, packed, wanted, &cancelled, &reporter)?;
                Ok(files.into_iter().unzip::<_, _, Vec<_>, Vec<_>>())
            })
            .await?;
        let digests = self.ingest_all(move |_| Ok(temps)).await?;
        Ok(paths.into_iter().zip(digests).collect())
    }

    /// A small text among the layers.
    async fn text(&self, digest: Digest, place: &str) -> Result<String> {
        let blob = self.good(&digest, None, &Reporter::silent()).await?;
        let too_long = remote::Error::Document {
            host: place.to_owned(),
            what: "a text",
            reason: format!(
                "it has {} bytes, at most {TEXT_MAX} are read",
                blob.stamp.size
            ),
        };
        if blob.stamp.size > TEXT_MAX {
            return Err(too_long.into());
        }
        let read = self.on_disk(move |store| store.read_blob(&digest, blob.stamp.size, TEXT_MAX));
        let bytes = read
            .await?
            .map_err(|found| crate::Error::DamagedBlob { digest, found })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The layers that are archives, which nothing needs once they are unpacked.
pub(super) fn archives(layers: &[(Role, Digest)]) -> Vec<Digest> {
    let archives = layers.iter().filter_map(|(role, digest)| match role {
        Role::Archive(_) => Some(*digest),
        _ => None,
    });
    archives.collect()
}

/// The files of the folder that holds the weights, by their names in it: archives have the folder in their paths.
fn beside_the_weights(files: BTreeMap<RelPath, Digest>) -> BTreeMap<RelPath, Digest> {
    let folder = |path: &RelPath| {
        let (folder, _) = path.as_str().rsplit_once('/').unwrap_or_default();
        folder.to_owned()
    };
    let weights = files
        .keys()
        .find(|path| path.file_name().ends_with(".safetensors"))
        .map(folder)
        .unwrap_or_default();
    let within = |path: RelPath| match weights.as_str() {
        "" => Some(path),
        weights => {
            let rest = path.as_str().strip_prefix(weights)?.strip_prefix('/')?;
            RelPath::parse(rest).ok()
        }
    };
    files
        .into_iter()
        .filter_map(|(path, digest)| Some((within(path)?, digest)))
        .collect()
}
