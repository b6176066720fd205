//! Bodies of `POST /v1/embeddings`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Inputs;
use crate::{KeepAlive, Usage};

/// Body of `POST /v1/embeddings`. A field that is `null` counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = openai::EmbeddingsRequest)]
pub struct EmbeddingsRequest {
    /// Name of the model. Required.
    pub model: Option<String>,
    /// One text or several, or their tokens, at most 4,096. Required.
    pub input: Option<Inputs>,
    /// `float`, the default, or `base64`: the numbers as little-endian floats of 32 bits.
    pub encoding_format: Option<String>,
    /// Number of leading components to keep of each vector.
    #[schema(value_type = Option<u32>)]
    pub dimensions: Option<Value>,
    /// Whether texts that are longer than the context are cut instead of refused; the default is `false` (slm).
    pub truncate: Option<bool>,
    /// Has no meaning here.
    pub user: Option<Value>,
    /// How long the model stays loaded (Ollama).
    pub keep_alive: Option<KeepAlive>,
    /// Parameters of a Modelfile (Ollama).
    pub options: Option<Map<String, Value>>,
    /// Context in tokens.
    #[schema(value_type = Option<u32>)]
    pub num_ctx: Option<Value>,
}

/// Answer of `POST /v1/embeddings`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EmbeddingsAnswer {
    /// `list`.
    pub object: &'static str,
    /// The vectors, in order of the inputs.
    pub data: Vec<EmbeddingItem>,
    /// The model, as the request names it.
    pub model: String,
    /// Token counts.
    pub usage: Usage,
}

/// The vector of an input.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EmbeddingItem {
    /// `embedding`.
    pub object: &'static str,
    /// Index of the input, from 0.
    pub index: usize,
    /// The vector, scaled to length 1.
    pub embedding: EmbeddingVector,
}

/// A vector in one of its encodings.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EmbeddingVector {
    /// `float`.
    Numbers(Vec<f32>),
    /// `base64`.
    Base64(String),
}
