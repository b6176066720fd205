//! Pushing a model: from a name in the store to a registry.
//!
//! The registry mounts a blob that it lacks from another of its repositories, if one is known to have the blob; otherwise the blob is
//! sent, several at a time. The manifest is published under the tag last of all, so the tag always leads to a complete model.
//!
//! The blobs of the manifest are sent, never their translations for llama.cpp.

mod modelpack;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use reqwest::Url;

use crate::error::Result;
use crate::http;
use crate::manifest::MANIFEST_TYPE;
use crate::name::{DEFAULT_HOST, DEFAULT_NAMESPACE};
use crate::reference::{Named, Reference};
use crate::remote::{Auth, Blob, Content, Sent, Upload};
use crate::resolve::{self, Hosts, registry_of};
use crate::source::Settings;
use crate::store::UploadNote;
use crate::{Digest, ModelName, Registry, Reporter, Stage};

pub use crate::error::push::Error;

/// Blobs that are sent at the same time.
const AT_ONCE: usize = 3;

/// The format in which a model is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// The manifest as it is stored, byte for byte, with Ollama's media types unless it came with others.
    #[default]
    Ollama,
    /// A manifest by CNCF's ModelPack specification, whose layers are files.
    ModelPack,
}

/// The result of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Host, repository and tag.
    pub place: String,
    /// The digest of the manifest there.
    pub digest: Digest,
    /// Number of blobs that the repository had before.
    pub present: usize,
    /// Number of blobs that the registry mounted from another repository.
    pub mounted: usize,
    /// Number of blobs that were sent.
    pub sent: usize,
}

/// A manifest and the blobs that it names.
struct Bundle {
    manifest: Bytes,
    media_type: String,
    blobs: Vec<Item>,
}

/// A blob before it is opened.
enum Item {
    /// A blob of the store, with its size.
    Stored(Digest, u64),
    /// A blob that was made for this push.
    Made(Bytes),
}

impl Item {
    fn digest(&self) -> Digest {
        match self {
            Self::Stored(digest, _) => *digest,
            Self::Made(bytes) => Digest::of(bytes),
        }
    }
}

/// Where a model goes.
struct Target {
    base: Url,
    repository: String,
    tag: String,
    /// The host by which the store knows the registry.
    host: String,
    is_ollama: bool,
    named: BTreeSet<String>,
}

impl Registry {
    /// Pushes the model `source` to `destination`. `insecure` allows a connection without TLS to a
    /// destination that starts with `http://`.
    ///
    /// Dropping the future ends the push. The registry keeps the sent blobs, and the next push skips them.
    ///
    /// # Errors
    /// [`crate::Error::Push`]; errors of [`Registry::ready`] when a blob is damaged.
    pub async fn push(
        &self,
        source: &ModelName,
        destination: &Reference,
        format: Format,
        insecure: bool,
        settings: &Settings,
        reporter: &Reporter,
    ) -> Result<Pushed> {
        let target = Target::of(destination, insecure, settings)?;
        resolve::reachable(&target.named, &settings.network)?;
        let (bundle, _pins) = self.bundle(source, format, reporter).await?;
        let client = self.client(settings, &target.named).await?;
        let upload = Upload {
            client: &client,
            auth: Auth::for_push(&target.repository),
            base: target.base.clone(),
            repository: target.repository.clone(),
            is_ollama: target.is_ollama,
        };
        let mut pushed = Pushed {
            place: format!(
                "{}/{}:{}",
                http::shown(&target.base),
                target.repository,
                target.tag
            ),
            digest: Digest::of(&bundle.manifest),
            present: 0,
            mounted: 0,
            sent: 0,
        };
        let known = self.repositories_of(&target.host).await?;
        let sending = Sending {
            upload: &upload,
            source,
            known: &known,
            reporter,
        };
        // The first blob is sent alone: its requests get the access token that all others use.
        let (first, rest) = bundle.blobs.split_at(1.min(bundle.blobs.len()));
        for blobs in [first, rest] {
            let sendings: Vec<_> = blobs
                .iter()
                .map(|blob| self.send(blob, &sending).boxed())
                .collect();
            let sent: Vec<Sent> = futures::stream::iter(sendings)
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            for one in sent {
                match one {
                    Sent::Present => pushed.present += 1,
                    Sent::Mounted => pushed.mounted += 1,
                    Sent::Bytes => pushed.sent += 1,
                }
            }
        }
        reporter.stage(Stage::PushingManifest);
        upload
            .manifest(&target.tag, &bundle.media_type, bundle.manifest)
            .await?;
        Ok(pushed)
    }

    async fn send(&self, item: &Item, sending: &Sending<'_>) -> Result<Sent> {
        let digest = item.digest();
        let repository = &sending.upload.repository;
        let key = UploadNote::key(&sending.upload.place(), &digest);
        // Waits for another push of this blob to this repository; after that, the registry has the blob.
        let turn = self.uploading(&key);
        let _turn = turn.lock().await;
        let note = self
            .on_disk(move |store| Ok(store.upload_note(&key)))
            .await?;
        let from = sending
            .known
            .iter()
            .find(|(other, blobs)| *other != repository && blobs.contains(&digest))
            .map(|(other, _)| other.clone());
        let blob = match item {
            Item::Stored(_, size) => {
                let opened = self.opened(sending.source, &digest, *size, sending.reporter);
                let (file, path) = opened.await?;
                Blob {
                    digest,
                    size: *size,
                    bytes: Content::File(Arc::new(file), path),
                }
            }
            Item::Made(bytes) => Blob {
                digest,
                size: bytes.len() as u64,
                bytes: Content::Memory(bytes.clone()),
            },
        };
        let sent = sending.upload.blob(&blob, from, &note, sending.reporter);
        Ok(sent.await?)
    }

    /// The manifest and its blobs, all of them checked: a new config first, then the smallest first.
    async fn bundle(
        &self,
        source: &ModelName,
        format: Format,
        reporter: &Reporter,
    ) -> Result<(Bundle, impl Send + use<>)> {
        let (manifest, bytes, pins) = self.stored_manifest(source).await?;
        reporter.stage(Stage::ReadingManifest);
        let mut layers: Vec<(Digest, u64)> = Vec::new();
        let (bytes, media_type, config) = match format {
            Format::Ollama => {
                let media_type = manifest
                    .media_type
                    .clone()
                    .unwrap_or_else(|| MANIFEST_TYPE.to_owned());
                layers.extend(manifest.blobs().map(|layer| (layer.digest, layer.size)));
                (bytes, media_type, None)
            }
            Format::ModelPack => {
                let model = self.model(source).await?;
                let packed = modelpack::pack(&model);
                for left_out in packed.left_out {
                    reporter.stage(Stage::LeftOut(left_out));
                }
                layers.extend(packed.layers);
                (
                    packed.manifest,
                    modelpack::MANIFEST_TYPE.to_owned(),
                    Some(Bytes::from(packed.config)),
                )
            }
        };
        layers.sort_by_key(|(digest, size)| (*size, digest.hex()));
        layers.dedup();
        let mut blobs = Vec::new();
        blobs.extend(config.map(Item::Made));
        for (digest, size) in layers {
            // All blobs are checked before the first is sent. They are closed again, because there may be more than open files.
            self.opened(source, &digest, size, reporter).await?;
            blobs.push(Item::Stored(digest, size));
        }
        let bundle = Bundle {
            manifest: bytes.into(),
            media_type,
            blobs,
        };
        Ok((bundle, pins))
    }
}

/// What every blob of a push shares.
struct Sending<'a> {
    upload: &'a Upload<'a>,
    source: &'a ModelName,
    /// The blobs of each repository of this registry, as far as the manifests in the store name them.
    known: &'a BTreeMap<String, HashSet<Digest>>,
    reporter: &'a Reporter,
}

impl Target {
    fn of(destination: &Reference, insecure: bool, settings: &Settings) -> Result<Self> {
        let name = &destination.name;
        let refused = |reason: String| Error::Destination {
            name: destination.to_string(),
            reason,
        };
        match &destination.place {
            Named::Anywhere { digest: None } | Named::Registry { digest: None } => {}
            Named::Anywhere { .. } | Named::Registry { .. } => {
                return Err(refused("a digest cannot be chosen; push to a tag".to_owned()).into());
            }
            Named::Hub { .. } => {
                return Err(refused(
                    "the Hugging Face hub takes files through its own programs, and is no registry"
                        .to_owned(),
                )
                .into());
            }
            Named::File { .. } => {
                return Err(refused("it is the URL or the path of a file".to_owned()).into());
            }
        }
        let (base, repository) = registry_of(destination)?;
        check(&repository).map_err(refused)?;
        if destination.is_insecure() && !insecure {
            let name = destination.to_string();
            return Err(Error::Insecure { name }.into());
        }
        let bases = Hosts::new(settings)?;
        let is_ollama = name.host() == DEFAULT_HOST;
        if is_ollama && name.namespace() == DEFAULT_NAMESPACE && settings.library.is_none() {
            let model = name.model();
            return Err(refused(format!(
                "the models of the Ollama library are Ollama's own; push to a namespace of yours there, as YOU/{model}, or to another registry, as HOST/YOU/{model}"
            ))
            .into());
        }
        let mut named = bases.named;
        let base = match is_ollama {
            true => bases.library,
            false => base,
        };
        if !is_ollama {
            named.extend(resolve::host(&base));
        }
        Ok(Self {
            base,
            repository,
            tag: name.tag().to_owned(),
            host: name.host().to_owned(),
            is_ollama,
            named,
        })
    }
}

/// Checks that registries accept the name of a repository: parts of lower-case letters and digits, with `.`, `_`, `__` or dashes
/// between them (OCI distribution specification, `<name>`).
fn check(repository: &str) -> Result<(), String> {
    for part in repository.split('/') {
        let odd = |c: &char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(*c));
        if let Some(odd) = part.chars().find(odd) {
            let remedy = match odd.is_ascii_uppercase() {
                true => format!(
                    "; registries take lower case only, so write {:?}",
                    part.to_ascii_lowercase()
                ),
                false => String::new(),
            };
            return Err(format!("{part:?} has the character {odd:?}{remedy}"));
        }
        let is_mark = |c: char| "._-".contains(c);
        if part.starts_with(is_mark) || part.ends_with(is_mark) {
            return Err(format!("{part:?} begins or ends with a mark"));
        }
        let between = part
            .split(|c: char| !is_mark(c))
            .filter(|marks| !marks.is_empty());
        for marks in between {
            let is_good =
                matches!(marks, "." | "_" | "__") || marks.bytes().all(|mark| mark == b'-');
            if !is_good {
                return Err(format!("{part:?} has {marks:?} in it"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_registry_takes_are_refused_with_the_character() {
        for good in ["a/b", "me/notes-4.q4", "a1/b__c_d", "a--b/c---d"] {
            check(good).unwrap_or_else(|reason| panic!("{good}: {reason}"));
        }
        for (bad, told) in [
            ("Me/notes", "'M'"),
            ("me/Notes", "\"notes\""),
            ("me/a+b", "'+'"),
            ("me/_a", "\"_a\""),
            ("me/a-", "\"a-\""),
            ("me/a..b", "\"..\""),
            ("me/a___b", "\"___\""),
            ("me/a-_b", "\"-_\""),
        ] {
            let reason = check(bad).expect_err(bad);
            assert!(reason.contains(told), "{bad}: {reason}");
        }
    }

    #[test]
    fn a_place_is_a_tag_in_a_registry() {
        let settings = Settings::default();
        let of = |text: &str| {
            Target::of(
                &Reference::parse(text).expect("a reference"),
                false,
                &settings,
            )
        };
        let target = of("127.0.0.1:5000/me/notes:v1").expect("a place");
        assert_eq!(target.base.as_str(), "http://127.0.0.1:5000/");
        assert_eq!(
            (target.repository.as_str(), target.tag.as_str()),
            ("me/notes", "v1")
        );
        assert!(!target.is_ollama);
        assert!(of("me/notes").expect("a place").is_ollama);
        assert_eq!(
            of("docker.io/me/notes").expect("a place").base.as_str(),
            "https://registry-1.docker.io/"
        );
        for text in [
            "hf.co/a/b",
            "https://x.example/m.gguf",
            "http://reg.example/a/b",
            "reg.example/a/B",
            "reg.example/a/b@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
