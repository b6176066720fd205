//! The list of models.

use serde::Serialize;
use utoipa::ToSchema;

/// `GET /v1/models`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModelList {
    /// Always `list`.
    pub object: &'static str,
    /// The models, the latest first.
    pub data: Vec<Model>,
    /// Always empty. Codex looks for this field, and reports an error without it.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub models: [(); 0],
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Model {
    /// Its name.
    pub id: String,
    /// Always `model`.
    pub object: &'static str,
    /// When its name was last changed, in seconds since 1970.
    pub created: i64,
    /// The namespace in its name.
    pub owned_by: String,
    /// The context that it is loaded with, or would be loaded with.
    pub context_length: u32,
    /// The same; the name in vLLM's server.
    pub max_model_len: u32,
    /// The context length that it was trained with, if that is known.
    pub trained_context_length: Option<u64>,
}
