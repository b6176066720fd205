//! Answers about ollama.com, which slm does not use.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Answer of `GET /api/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StatusResponse {
    /// Whether models and services of ollama.com are available.
    pub cloud: CloudStatus,
}

/// Whether models and services of ollama.com are available.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CloudStatus {
    /// Always `true`.
    pub disabled: bool,
    /// What disables it; always `config`.
    pub source: String,
}

/// Answer of `GET /api/experimental/model-recommendations`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecommendationsResponse {
    /// Models that ollama.com recommends; always empty.
    pub recommendations: Vec<Value>,
}
