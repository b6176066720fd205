//! The response of a registry to a request for a manifest: a manifest, or an index of several.
//!
//! There are three lists of one shape, `{"manifests": […]}`: Ollama's (one manifest for each kind of runner), Docker's manifest list,
//! and the image index of the OCI image specification (`image-index.md`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Digest;
use crate::gguf::harmless;
use crate::manifest::{MANIFEST_MAX, MANIFEST_TYPE, Manifest, OCI_MANIFEST_TYPE};

/// Media type of Ollama's list of manifests.
pub(super) const OLLAMA_LIST_TYPE: &str = "application/vnd.ollama.manifest.list.v2+json";
/// Media type of Docker's list of manifests.
pub(super) const DOCKER_LIST_TYPE: &str =
    "application/vnd.docker.distribution.manifest.list.v2+json";
/// Media type of an image index.
pub(super) const OCI_INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// Kinds of runners whose files llama.cpp reads, the best first.
const RUNNERS: [&str; 2] = ["llamacpp", "ggml"];
/// Words in an artifact type or a config's media type that say that a manifest is a model.
const MODELS: [&str; 3] = ["cncf.model", "docker.ai.model", "kitops.modelkit"];
/// Most entries of an index that are looked at.
const ENTRIES_MAX: usize = 256;
/// Most manifests of an index that are fetched, to see which of them has weights.
const TRIED_MAX: usize = 8;

/// The response of a registry.
#[derive(Debug)]
pub(super) enum Document {
    /// The blobs of one model.
    Manifest(Manifest),
    /// Manifests to choose from.
    Index(Index),
}

/// A list of manifests.
#[derive(Debug)]
pub(super) struct Index {
    /// Whether it is Ollama's, whose manifests lie among the blobs.
    pub(super) is_ollama: bool,
    entries: Vec<Entry>,
}

/// One of its manifests.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// SHA-256 of the manifest. An entry with a digest of another kind cannot be fetched.
    digest: String,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    platform: Option<Platform>,
    /// In Ollama's lists.
    #[serde(default)]
    runner: String,
    /// In Ollama's lists.
    #[serde(default)]
    format: String,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

/// Parses the response of a registry.
///
/// # Errors
/// The reason, as the rest of a sentence about the document.
pub(super) fn read(bytes: &[u8]) -> Result<Document, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        media_type: Option<String>,
        manifests: Option<Vec<Entry>>,
        layers: Option<IgnoredAny>,
        config: Option<IgnoredAny>,
    }
    if bytes.len() as u64 > MANIFEST_MAX {
        return Err(format!(
            "it has {} bytes, at most {MANIFEST_MAX} are read",
            bytes.len()
        ));
    }
    let shape: Shape = serde_json::from_slice(bytes).map_err(|error| {
        if bytes.trim_ascii_start().starts_with(b"<") {
            "it is a web page; a proxy or a login page may stand between".to_owned()
        } else {
            error.to_string()
        }
    })?;
    let Some(entries) = shape.manifests else {
        let manifest = Manifest::parse(bytes).map_err(|error| error.to_string())?;
        return Ok(Document::Manifest(manifest));
    };
    let kind = shape.media_type.unwrap_or_default();
    let is_manifest = matches!(kind.as_str(), MANIFEST_TYPE | OCI_MANIFEST_TYPE);
    if is_manifest || shape.layers.is_some() || shape.config.is_some() {
        return Err(
            "it is an index and a manifest at once, which readers understand differently"
                .to_owned(),
        );
    }
    if entries.len() > ENTRIES_MAX {
        return Err(format!(
            "it lists {} manifests, at most {ENTRIES_MAX} are read",
            entries.len()
        ));
    }
    Ok(Document::Index(Index {
        is_ollama: kind == OLLAMA_LIST_TYPE || entries.iter().any(|entry| !entry.runner.is_empty()),
        entries,
    }))
}

impl Index {
    /// The manifests that may be a model for llama.cpp, the likeliest first.
    pub(super) fn candidates(&self) -> Vec<(&Entry, Digest)> {
        let fetchable = self
            .entries
            .iter()
            .filter_map(|entry| Some((entry, Digest::parse(&entry.digest).ok()?)));
        if self.is_ollama {
            let chosen: Vec<_> = fetchable
                .filter(|(entry, _)| {
                    RUNNERS.contains(&entry.runner.as_str()) && entry.format != "safetensors"
                })
                .collect();
            let best = RUNNERS
                .iter()
                .find_map(|runner| chosen.iter().find(|(entry, _)| entry.runner == *runner));
            return best.copied().into_iter().collect();
        }
        let mut chosen: Vec<_> = fetchable
            .filter(|(entry, _)| entry.may_be_model())
            .collect();
        chosen.sort_by_key(|(entry, _)| !entry.says_model());
        chosen.truncate(TRIED_MAX);
        chosen
    }

    /// The manifests, for people.
    pub(super) fn forms(&self) -> Vec<String> {
        self.entries.iter().take(16).map(Entry::shown).collect()
    }
}

impl Entry {
    /// Whether it is a manifest, and neither a signature nor an attestation.
    fn may_be_model(&self) -> bool {
        let is_manifest = matches!(
            self.media_type.as_str(),
            "" | MANIFEST_TYPE | OCI_MANIFEST_TYPE
        );
        let is_beside = self.annotations.contains_key("vnd.docker.reference.type")
            || self.artifact_type.contains("cosign")
            || self.artifact_type.contains("sigstore")
            || self
                .platform
                .as_ref()
                .is_some_and(|platform| platform.os == "unknown");
        is_manifest && !is_beside
    }

    fn says_model(&self) -> bool {
        let says = |text: &str| MODELS.iter().any(|word| text.contains(word));
        says(&self.artifact_type) || self.annotations.keys().any(|key| says(key))
    }

    /// The entry for people.
    pub(super) fn shown(&self) -> String {
        let text = |text: &str| harmless(text.as_bytes());
        if !self.runner.is_empty() {
            return format!("{} ({})", text(&self.runner), text(&self.format));
        }
        if !self.artifact_type.is_empty() {
            return text(&self.artifact_type);
        }
        match &self.platform {
            Some(platform) => format!("{}/{}", text(&platform.os), text(&platform.architecture)),
            None => text(self.digest.get(..19).unwrap_or(&self.digest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn digest(text: &str) -> String {
        Digest::of(text.as_bytes()).to_string()
    }

    fn chosen(index: &serde_json::Value) -> Vec<String> {
        match read(index.to_string().as_bytes()) {
            Ok(Document::Index(index)) => index
                .candidates()
                .into_iter()
                .map(|(entry, _)| entry.shown())
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_runner_of_llama_cpp_is_taken_out_of_ollamas_list() {
        let entry = |runner: &str, format: &str| json!({"digest": digest(runner), "runner": runner, "format": format});
        let list = |entries: Vec<serde_json::Value>| json!({"mediaType": OLLAMA_LIST_TYPE, "manifests": entries});
        let both = list(vec![
            entry("mlx", "safetensors"),
            entry("ggml", "gguf"),
            entry("llamacpp", "gguf"),
        ]);
        assert_eq!(chosen(&both), ["llamacpp (gguf)"]);
        let old = list(vec![entry("mlx", "safetensors"), entry("ggml", "gguf")]);
        assert_eq!(chosen(&old), ["ggml (gguf)"]);
        assert!(chosen(&list(vec![entry("llamacpp", "safetensors")])).is_empty());
    }

    #[test]
    fn a_model_goes_before_images_and_attestations_are_none() {
        let index = json!({"mediaType": OCI_INDEX_TYPE, "manifests": [
            {"digest": digest("image"), "mediaType": OCI_MANIFEST_TYPE, "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": digest("note"), "mediaType": OCI_MANIFEST_TYPE, "platform": {"os": "unknown", "architecture": "unknown"},
             "annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
            {"digest": digest("model"), "mediaType": OCI_MANIFEST_TYPE, "artifactType": "application/vnd.cncf.model.manifest.v1+json"},
            {"digest": digest("inner"), "mediaType": OCI_INDEX_TYPE},
            {"digest": "sha512:00", "mediaType": OCI_MANIFEST_TYPE},
        ]});
        assert_eq!(
            chosen(&index),
            ["application/vnd.cncf.model.manifest.v1+json", "linux/amd64"]
        );
    }

    #[test]
    fn a_document_that_is_two_things_at_once_is_refused() {
        let entry = json!({"digest": digest("a"), "mediaType": OCI_MANIFEST_TYPE});
        for document in [
            json!({"mediaType": OCI_INDEX_TYPE, "manifests": [entry], "layers": []}),
            json!({"mediaType": OCI_INDEX_TYPE, "manifests": [entry], "config": {}}),
            json!({"mediaType": OCI_MANIFEST_TYPE, "manifests": [entry]}),
        ] {
            let reason = read(document.to_string().as_bytes()).expect_err("it is ambiguous");
            assert!(reason.contains("at once"), "{reason}");
        }
        let many = json!({"manifests": vec![entry; ENTRIES_MAX + 1]});
        assert!(read(many.to_string().as_bytes()).is_err());
        assert!(read(b"<html>").expect_err("a page").contains("web page"));
    }
}
