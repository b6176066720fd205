//! The config blob of a model: what it is, in a few words that need no look at the weights.
//!
//! The JSON is Ollama's, so that either program can read what the other wrote.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Largest config blob that is read, in bytes.
pub const CONFIG_MAX: u64 = 1 << 20;

/// What is said about a model beside its layers. Every member may be missing in a file that others wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `gguf`.
    pub model_format: String,
    /// Architecture of the weights, such as `llama`.
    pub model_family: String,
    /// Architectures of weights and projectors.
    pub model_families: Vec<String>,
    /// Size class in parameters, such as `134.52M`.
    pub model_type: String,
    /// Quantization, such as `Q4_1`.
    pub file_type: String,
    /// Id of a built-in prompt renderer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renderer: Option<String>,
    /// Id of a built-in output parser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parser: Option<String>,
    /// Oldest version that can run the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires: Option<String>,
    /// What the model can be used for, such as `completion`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Tokens that the model was trained to keep in view.
    #[serde(rename = "context_length", skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// Width of its embedding vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_length: Option<u64>,
    /// Always `amd64`: a word that image tools ask for, and that means nothing for weights.
    pub architecture: String,
    /// Always `linux`, for the same reason.
    pub os: String,
    /// The layers again, as image tools want them.
    pub rootfs: RootFs,
}

/// Digests of the layers in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One for each layer of the manifest.
    pub diff_ids: Vec<Digest>,
}
