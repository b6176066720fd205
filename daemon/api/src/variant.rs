//! The variants of a model, and which of them this machine takes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /slm/v1/variants` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VariantsRequest {
    /// What `/api/pull` takes.
    pub model: String,
    /// Allow a connection without TLS to the source.
    #[serde(default)]
    pub insecure: bool,
}

/// Answer of `POST /slm/v1/variants` (ours).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VariantsResponse {
    /// Name of the model in the store.
    pub model: String,
    /// Where its variants were listed: a catalog, or a source.
    pub place: String,
    /// The variants, in the order of that place; empty if the source has one only.
    pub variants: Vec<ModelVariant>,
    /// Why a pull takes the chosen one; absent if there is nothing to choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes that models may take on this machine, on all devices; absent if the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// One variant of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelVariant {
    /// What `variant` in `/api/pull` takes.
    pub name: String,
    /// Its quantization, such as `Q4_K_M`; empty if nothing tells.
    pub quantization: String,
    /// `gguf` or `safetensors`.
    pub format: String,
    /// Bytes of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 of its weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether its weights are in the store.
    pub here: bool,
    /// Whether the source takes it if nobody chooses.
    pub usual: bool,
    /// Whether a pull on this machine takes it.
    pub chosen: bool,
    /// Whether it fits the memory that models may take; absent if too little is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fits: Option<bool>,
    /// Predicted bytes on all devices when it is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Predicted tokens per second of one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
}
