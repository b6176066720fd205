//! Bodies of `GET /v1/models`.

use serde::Serialize;
use utoipa::ToSchema;

/// Answer of `GET /v1/models`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModelsAnswer {
    /// `list`.
    pub object: &'static str,
    /// The models in the store, the latest first. A damaged one is left out.
    pub data: Vec<Model>,
    /// Always empty: Codex expects this list in place of `data`, and goes on with an empty one.
    #[schema(value_type = Vec<Object>)]
    pub models: [(); 0],
}

/// A model in the store.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = openai::Model)]
pub struct Model {
    /// Its name.
    pub id: String,
    /// `model`.
    pub object: &'static str,
    /// When it was created or pulled, in seconds since 1970.
    pub created: i64,
    /// The namespace of its name.
    pub owned_by: String,
    /// Tokens of the context with which the model is loaded, or would be loaded.
    pub context_length: u64,
    /// The same, in vLLM's name.
    pub max_model_len: u64,
    /// What the model can do, in Ollama's words.
    pub capabilities: Vec<&'static str>,
    /// Facts in llama.cpp's names.
    pub meta: ModelMeta,
}

/// Facts of a model in llama.cpp's names.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModelMeta {
    /// The context length that the model was trained with.
    pub n_ctx_train: Option<u64>,
    /// Length of a vector.
    pub n_embd: Option<u64>,
    /// Bytes of its files.
    pub size: Option<u64>,
}
