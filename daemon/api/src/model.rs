//! Models: what is stored, what is loaded, and how they are made.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{KeepAlive, Message, Priority, null_as_default};

/// Answer of `GET /api/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionResponse {
    /// The version of Ollama that the daemon corresponds to. Clients compare it with the version that they need.
    pub version: String,
    /// Version of the daemon (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slm: Option<String>,
    /// Home of the daemon (ours); absent where clients on other machines may ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
}

impl VersionResponse {
    /// Version of the daemon.
    pub fn daemon(self) -> String {
        self.slm.unwrap_or(self.version)
    }
}

/// Answer of `GET /api/tags`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TagsResponse {
    /// Newest first.
    pub models: Vec<ModelSummary>,
}

/// One model in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelSummary {
    /// Shortest form of its name, always with the tag: `smollm2:latest`.
    pub name: String,
    /// The same.
    pub model: String,
    /// When its manifest was written.
    #[schema(value_type = String, format = DateTime)]
    pub modified_at: Timestamp,
    /// Total size of its layers in bytes.
    pub size: u64,
    /// Hexadecimal SHA-256 of its manifest, without prefix.
    pub digest: String,
    /// What is known of it.
    pub details: ModelDetails,
    /// `completion`, `insert`, `tools`, …
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Why it cannot be used, if it is damaged (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

/// Details of a model that need no look at its weights.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelDetails {
    /// Base model.
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
    /// Context length that the model was trained with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// Width of its embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_length: Option<u64>,
}

/// Body of `POST /api/show`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShowRequest {
    /// Name of the model.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub model: String,
    /// The former name of `model`, used when `model` is empty.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    #[schema(nullable)]
    pub name: String,
    /// Whether to include long arrays and tensors.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub verbose: bool,
}

/// Answer of `POST /api/show`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShowResponse {
    /// All licences, a blank line between them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// A Modelfile that creates this model again.
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
    /// Name of the renderer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renderer: Option<String>,
    /// Name of the parser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parser: Option<String>,
    /// Oldest version of Ollama that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<String>,
    /// Messages at the start of every conversation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// What is known of it.
    pub details: ModelDetails,
    /// GGUF metadata; long arrays are null unless verbose.
    pub model_info: Map<String, Value>,
    /// GGUF metadata of its projector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projector_info: Option<Map<String, Value>>,
    /// Tensors, when verbose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensors: Option<Vec<TensorInfo>>,
    /// `completion`, `insert`, `tools`, …
    pub capabilities: Vec<String>,
    /// When its manifest was written.
    #[schema(value_type = String, format = DateTime)]
    pub modified_at: Timestamp,
    /// Hexadecimal SHA-256 of its manifest (ours).
    #[serde(default)]
    pub digest: String,
    /// Total size of its layers in bytes (ours).
    #[serde(default)]
    pub size: u64,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub enum License {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Body of `POST /api/create`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateRequest {
    /// Name of the new model.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub model: String,
    /// The former name of `model`, used when `model` is empty.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    #[schema(nullable)]
    pub name: String,
    /// Base model, `name` or `name@sha256:<hex>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Files of the weights: names to digests of blobs in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, String>>,
    /// Files of adapters, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<BTreeMap<String, String>>,
    /// File of a draft model, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft_files: Option<BTreeMap<String, String>>,
    /// Template in Go syntax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Licences, added to those of the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<License>,
    /// System prompt; the empty text removes the base's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Parameters that override those of the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
    /// Messages at the start of every conversation, in place of the base's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// Name of the renderer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renderer: Option<String>,
    /// Name of the parser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parser: Option<String>,
    /// Oldest version of Ollama that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<String>,
    /// Quantization of the new weights.
    #[serde(
        default,
        alias = "quantization",
        skip_serializing_if = "Option::is_none"
    )]
    pub quantize: Option<String>,
    /// Quantization of the draft model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft_quantize: Option<String>,
    /// Host that runs the model in place of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_host: Option<String>,
    /// Whether a missing base is pulled first (ours); the default is `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<bool>,
    /// Details that override those of the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Map<String, Value>>,
    /// Whether the answer is a stream; it is unless this is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
}

/// Body of `POST /api/copy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CopyRequest {
    /// Existing name.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub source: String,
    /// New name.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub destination: String,
}

/// Body of `DELETE /api/delete`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeleteRequest {
    /// Name to remove.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub model: String,
    /// The former name of `model`, used when `model` is empty.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    #[schema(nullable)]
    pub name: String,
}

/// Body of `POST /api/pull`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PullRequest {
    /// Name to fetch.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub model: String,
    /// The former name of `model`, used when `model` is empty.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    #[schema(nullable)]
    pub name: String,
    /// The variant to fetch, such as `Q4_K_M` (ours); without one, the best that fits this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Whether `http://` in `model` may reach another machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// Whether the answer is a stream; it is unless this is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Whether the pull continues when no client listens (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<bool>,
    /// Rank in the queue (ours); the default is `normal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Whether the pull ignores `pull_window` and `metered` (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<bool>,
}

/// Body of `POST /slm/v1/search` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SearchRequest {
    /// Words that a model's name or description must contain.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub query: String,
    /// Maximum number of models from the hub, 20 by default; 0 searches only the catalogs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Conditions that a model must meet, such as `license=mit`, `capability=tools`, `max-size=4B`, `min-size=1B` or `owner=acme`.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schema(nullable)]
    pub filters: Vec<String>,
}

/// Answer of `POST /slm/v1/search` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SearchResponse {
    /// Models of the catalogs by name, then models of the hub by downloads.
    pub models: Vec<FoundModel>,
    /// Why the hub was not searched, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A search result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundModel {
    /// The reference to pull.
    pub name: String,
    /// Description, if there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Number of parameters, such as `3.8B`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_size: Option<String>,
    /// Its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Downloads from the hub in the last 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downloads: Option<u64>,
    /// Date of its last change on the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
    /// `catalog` or `hub`.
    pub source: String,
}

/// Answer of `POST /slm/v1/explain` (ours): what a pull would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Name of the model in the store.
    pub model: String,
    /// The source.
    pub place: String,
    /// Steps of the resolution, one message each.
    pub steps: Vec<String>,
    /// Files of the model; of a Python package, only the weights.
    pub files: Vec<ExplanationFile>,
    /// Bytes to fetch, as far as sizes are known.
    pub missing: u64,
}

/// A file that a pull would fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplanationFile {
    /// Name at the source.
    pub title: String,
    /// Size in bytes, if the source states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Digest, if the source states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Bytes of it in the store.
    pub here: u64,
}

/// Body of `POST /slm/v1/store/verify` (ours). Answers with a stream of [`crate::Progress`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyRequest {
    /// Models to check; all of them when empty.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub models: Vec<String>,
    /// Whether to move damaged blobs aside, so that the next pull fetches them again.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub quarantine: bool,
}

/// Body of `POST /slm/v1/store/adopt` (ours). Answers with a stream of [`crate::Progress`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdoptRequest {
    /// Absolute path of a regular file.
    pub path: String,
}

/// Answer of `GET /api/ps`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PsResponse {
    /// Latest expiry first.
    pub models: Vec<LoadedModel>,
}

/// One loaded model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadedModel {
    /// Shortest form of its name, with the tag.
    pub name: String,
    /// The same.
    pub model: String,
    /// Memory in bytes, host and devices.
    pub size: u64,
    /// Hexadecimal SHA-256 of its manifest.
    pub digest: String,
    /// What is known of it.
    pub details: ModelDetails,
    /// When it is unloaded without further requests; far in the future means never.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Memory on devices in bytes, part of `size`.
    pub size_vram: u64,
    /// Context length in tokens.
    pub context_length: u32,
    /// `loading`, `ready`, `busy` or `stopping` (ours).
    #[serde(default)]
    pub state: String,
    /// Whether its name was removed or now names another model (ours).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Whether it stays loaded until it is unpinned (ours).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Number of requests in progress (ours).
    #[serde(default)]
    pub active: u32,
    /// Process id of its runner (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Device (ours): `CPU (zen4)`.
    #[serde(default)]
    pub device: String,
    /// Why this CPU module was chosen (ours): the check that it passed, or the better module that failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device_reason: String,
    /// Sandbox level of its runner (ours): `off`, `limits`, `partial`, `full` or `strict`; empty without a running runner.
    #[serde(default)]
    pub sandbox: String,
    /// Message: what the runner lacks to the highest level that its device permits (ours).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sandbox_lacks: String,
    /// Whether slm's kernels compute on the CPU (ours): `on`, `off` or `unavailable`; empty without a running runner.
    #[serde(default)]
    pub kernels: String,
    /// Message: why they are `unavailable` (ours).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kernels_reason: String,
    /// Keep-alive after its last request (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// Where its bytes are, as its runner reports the sizes of its buffers (ours).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<LoadedPart>,
    /// Bytes that the scheduler counts for it on each device: the prediction, or what was measured if that is more (ours).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counted: BTreeMap<String, u64>,
}

/// One part of the memory of a loaded model on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoadedPart {
    /// `CPU`, or the name of the device, such as `CUDA0`.
    pub device: String,
    /// `mapped_weights` (page cache of the file), `weights` (copies), `kv_cache`, `compute`, `draft` or `adapters`.
    pub kind: String,
    /// Bytes.
    pub bytes: u64,
}

/// The field that is set. Clients of the former field send both, one of them empty.
pub(crate) fn either<'a>(model: &'a str, name: &'a str) -> &'a str {
    if model.is_empty() { name } else { model }
}

impl ShowRequest {
    /// Name of the model, from either field.
    pub fn name(&self) -> &str {
        either(&self.model, &self.name)
    }
}

impl CreateRequest {
    /// Name of the new model, from either field.
    pub fn name(&self) -> &str {
        either(&self.model, &self.name)
    }
}

impl DeleteRequest {
    /// Name to remove, from either field.
    pub fn name(&self) -> &str {
        either(&self.model, &self.name)
    }
}

impl PullRequest {
    /// Name to fetch, from either field.
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
