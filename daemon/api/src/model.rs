//! Models: what is stored, what is loaded, and how they are made.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{KeepAlive, Message, Priority, null_as_default};

/// Answer of `GET /api/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionResponse {
    /// Version of the daemon.
    pub version: String,
    /// Folder of the daemon (ours); left out where clients of other machines may ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
}

/// Answer of `GET /api/tags`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TagsResponse {
    /// Newest first.
    pub models: Vec<ModelSummary>,
}

/// One model in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// Shortest form of its name, always with the tag: `smollm2:latest`.
    pub name: String,
    /// The same.
    pub model: String,
    /// When its manifest was written.
    pub modified_at: Timestamp,
    /// Bytes of all its layers.
    pub size: u64,
    /// Hexadecimal SHA-256 of its manifest, without prefix.
    pub digest: String,
    /// What is known of it.
    pub details: ModelDetails,
    /// `completion`, `insert`, `tools`, …
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Why it cannot be used, when it is damaged (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

/// What is known of a model without opening it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDetails {
    /// Model that it was made from.
    #[serde(default)]
    pub parent_model: String,
    /// `gguf`.
    #[serde(default)]
    pub format: String,
    /// Architecture.
    #[serde(default)]
    pub family: String,
    /// Architectures.
    #[serde(default)]
    pub families: Option<Vec<String>>,
    /// `134.52M`.
    #[serde(default)]
    pub parameter_size: String,
    /// `Q4_1`.
    #[serde(default)]
    pub quantization_level: String,
    /// Longest context that it was trained with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// Width of its embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_length: Option<u64>,
}

/// Body of `POST /api/show`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowRequest {
    /// Name of the model.
    #[serde(default, deserialize_with = "null_as_default")]
    pub model: String,
    /// The same under its former name, which counts when `model` is empty.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    /// Long arrays and tensors too.
    #[serde(default, deserialize_with = "null_as_default")]
    pub verbose: bool,
}

/// Answer of `POST /api/show`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShowResponse {
    /// All licences, a blank line between them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// A Modelfile that makes this model again.
    #[serde(default)]
    pub modelfile: String,
    /// Parameters as text, a name and a value per line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parameters: String,
    /// Template in Go syntax, or the model's own in Jinja.
    #[serde(default)]
    pub template: String,
    /// System prompt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// Renderer id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renderer: Option<String>,
    /// Parser id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parser: Option<String>,
    /// Smallest version that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<String>,
    /// Messages that each conversation begins with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// What is known of it.
    pub details: ModelDetails,
    /// GGUF metadata; long arrays are null unless verbose.
    pub model_info: Map<String, Value>,
    /// The same of its projector of images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projector_info: Option<Map<String, Value>>,
    /// Tensors, when verbose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensors: Option<Vec<TensorInfo>>,
    /// `completion`, `insert`, `tools`, …
    pub capabilities: Vec<String>,
    /// When its manifest was written.
    pub modified_at: Timestamp,
    /// Hexadecimal SHA-256 of its manifest (ours).
    #[serde(default)]
    pub digest: String,
    /// Bytes of all its layers (ours).
    #[serde(default)]
    pub size: u64,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its type, `Q4_K`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
}

/// One licence or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub enum License {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Body of `POST /api/create`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CreateRequest {
    /// Name of the new model.
    #[serde(default, deserialize_with = "null_as_default")]
    pub model: String,
    /// The same under its former name, which counts when `model` is empty.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    /// Model that it is made from, `name` or `name@sha256:<hex>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// File names to digests of blobs that are in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, String>>,
    /// The same for adapters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<BTreeMap<String, String>>,
    /// The same for a draft model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft_files: Option<BTreeMap<String, String>>,
    /// Template in Go syntax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Licences; given ones are added to those of the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<License>,
    /// System prompt; empty removes that of the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Parameters that go over those of the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
    /// Messages that each conversation begins with; given ones replace those of the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// Renderer id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renderer: Option<String>,
    /// Parser id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parser: Option<String>,
    /// Smallest version that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<String>,
    /// Type to quantize to.
    #[serde(
        default,
        alias = "quantization",
        skip_serializing_if = "Option::is_none"
    )]
    pub quantize: Option<String>,
    /// Type to quantize the draft model to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft_quantize: Option<String>,
    /// Machine that the model runs on instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_host: Option<String>,
    /// Whether a base that is not here is fetched first; it is unless this is `false` (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<bool>,
    /// Facts that go over those of the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Map<String, Value>>,
    /// Whether the answer is a stream; it is unless this is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
}

/// Body of `POST /api/copy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRequest {
    /// Name that exists.
    #[serde(default, deserialize_with = "null_as_default")]
    pub source: String,
    /// Name to make.
    #[serde(default, deserialize_with = "null_as_default")]
    pub destination: String,
}

/// Body of `DELETE /api/delete`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRequest {
    /// Name to remove.
    #[serde(default, deserialize_with = "null_as_default")]
    pub model: String,
    /// The same under its former name, which counts when `model` is empty.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
}

/// Body of `POST /api/pull`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Name to fetch.
    #[serde(default, deserialize_with = "null_as_default")]
    pub model: String,
    /// The same under its former name, which counts when `model` is empty.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    /// Whether a connection without TLS to another machine is allowed, where `model` asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// Whether the answer is a stream; it is unless this is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Whether the pull goes on when no client listens (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<bool>,
    /// Which of the queued transfers goes first (ours); normal unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Whether the pull starts outside of `pull_window` and on a metered network too (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<bool>,
}

/// Body of `POST /api/search` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchRequest {
    /// Words that a model's name or description must all have.
    #[serde(default, deserialize_with = "null_as_default")]
    pub query: String,
    /// Most models of the hub, 20 unless given; 0 searches the catalogs alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Conditions that a model must meet, such as `license=mit`, `capability=tools`, `max-size=4B`, `min-size=1B` or `owner=acme`.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub filters: Vec<String>,
}

/// Answer of `POST /api/search` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchResponse {
    /// Those of the catalogs by name, then those of the hub, the most often fetched first.
    pub models: Vec<FoundModel>,
    /// Why the hub was not asked, where it could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A model that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundModel {
    /// What a pull is to be given.
    pub name: String,
    /// One line about it, where somebody wrote one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How many parameters it has, such as `3.8B`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_size: Option<String>,
    /// Its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// How often it was fetched from the hub in the last 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downloads: Option<u64>,
    /// The day on which it was last changed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
    /// `catalog` or `hub`.
    pub source: String,
}

/// Answer of `POST /api/explain` (ours): what a pull would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The name that the model gets.
    pub model: String,
    /// Where it would be fetched from.
    pub place: String,
    /// What was looked at and chosen, in order; for people.
    pub steps: Vec<String>,
    /// The files that it consists of; of a Python package, only the weights.
    pub files: Vec<ExplanationFile>,
    /// Bytes that would be fetched, as far as sizes are known.
    pub missing: u64,
}

/// A file that a pull would fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplanationFile {
    /// What it is called there.
    pub title: String,
    /// Its size in bytes, where the place tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its digest, where the place tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Bytes of it that are here.
    pub here: u64,
}

/// Body of `POST /api/verify` (ours). Answers with a stream of [`crate::Progress`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// Models to check; all when empty.
    #[serde(default, deserialize_with = "null_as_default")]
    pub models: Vec<String>,
    /// Set damaged blobs aside, so that the next pull fetches them again.
    #[serde(default, deserialize_with = "null_as_default")]
    pub quarantine: bool,
}

/// Body of `POST /api/adopt` (ours). Answers with a stream of [`crate::Progress`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptRequest {
    /// Absolute path of a regular file.
    pub path: String,
}

/// Answer of `GET /api/ps`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PsResponse {
    /// Latest expiry first.
    pub models: Vec<LoadedModel>,
}

/// One loaded model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadedModel {
    /// Shortest form of its name, with the tag.
    pub name: String,
    /// The same.
    pub model: String,
    /// Bytes that it takes, host and devices.
    pub size: u64,
    /// Hexadecimal SHA-256 of its manifest.
    pub digest: String,
    /// What is known of it.
    pub details: ModelDetails,
    /// When it is unloaded if nothing is asked of it; far in the future for never.
    pub expires_at: Timestamp,
    /// Of its bytes, those on devices.
    pub size_vram: u64,
    /// Context that it was loaded with.
    pub context_length: u32,
    /// `loading`, `ready`, `busy` or `stopping` (ours).
    #[serde(default)]
    pub state: String,
    /// Its name is removed, or another model's by now (ours).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Requests that it answers now (ours).
    #[serde(default)]
    pub active: u32,
    /// Process id of its runner (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Device that computes (ours): `CPU (zen4)`.
    #[serde(default)]
    pub device: String,
    /// Why it computes with this module of the processor (ours): what was checked, or which better one failed its check.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device_reason: String,
    /// How far its runner is confined (ours): `off`, `limits`, `partial`, `full` or `strict`; empty while it loads and when it has left.
    #[serde(default)]
    pub sandbox: String,
    /// What is missing to the highest level that its device permits, for people (ours).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sandbox_lacks: String,
    /// Whether slm's kernels compute on the CPU (ours): `on`, `off` or `unavailable`; empty while it loads and when it has left.
    #[serde(default)]
    pub kernels: String,
    /// Why they are `unavailable`, for people (ours).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kernels_reason: String,
    /// How long it stays after its last request (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
}

/// Clients that know only the former field send both, one of them empty.
pub(crate) fn either<'a>(model: &'a str, name: &'a str) -> &'a str {
    if model.is_empty() { name } else { model }
}

impl ShowRequest {
    /// Name of the model, whichever field has it.
    pub fn name(&self) -> &str {
        either(&self.model, &self.name)
    }
}

impl CreateRequest {
    /// Name of the new model, whichever field has it.
    pub fn name(&self) -> &str {
        either(&self.model, &self.name)
    }
}

impl DeleteRequest {
    /// Name to remove, whichever field has it.
    pub fn name(&self) -> &str {
        either(&self.model, &self.name)
    }
}

impl PullRequest {
    /// Name to fetch, whichever field has it.
    pub fn name(&self) -> &str {
        either(&self.model, &self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_is_read_from_either_field() {
        for (body, name) in [
            (json!({"model": "m"}), "m"),
            (json!({"name": "m"}), "m"),
            (json!({"model": "m", "name": ""}), "m"),
            (json!({"model": "", "name": "m"}), "m"),
            (json!({"model": "m", "name": "n"}), "m"),
            (json!({"model": null, "name": "m"}), "m"),
            (json!({}), ""),
        ] {
            let show: ShowRequest = serde_json::from_value(body.clone()).unwrap();
            let create: CreateRequest = serde_json::from_value(body.clone()).unwrap();
            let delete: DeleteRequest = serde_json::from_value(body.clone()).unwrap();
            let pull: PullRequest = serde_json::from_value(body.clone()).unwrap();
            let names = [show.name(), create.name(), delete.name(), pull.name()];
            assert_eq!(names, [name; 4], "{body}");
        }
    }

    #[test]
    fn the_former_field_is_not_sent() {
        let request = DeleteRequest {
            model: "m".to_owned(),
            ..DeleteRequest::default()
        };
        assert_eq!(
            serde_json::to_value(request).unwrap(),
            json!({"model": "m"})
        );
    }
}
