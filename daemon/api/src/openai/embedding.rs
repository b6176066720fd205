//! Embeddings.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::KeepAlive;

/// `POST /v1/embeddings`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
#[serde(default)]
pub struct EmbeddingRequest {
    /// Name of the model.
    pub model: Option<String>,
    /// A text, a list of texts, the tokens of a text, or a list of those.
    pub input: Option<Value>,
    /// `float` for lists of numbers, the default, or `base64` for the bytes of little-endian 32-bit floats.
    pub encoding_format: Option<String>,
    /// Keep the first numbers of each vector, this many.
    pub dimensions: Option<u32>,
    /// Whether texts that are longer than the context are cut instead of refused; the default is `false` (slm).
    pub truncate: Option<bool>,
    /// How long the model stays loaded (Ollama).
    #[schema(value_type = Option<Value>)]
    pub keep_alive: Option<KeepAlive>,
    /// Parameters of a Modelfile (Ollama).
    pub options: Option<Map<String, Value>>,
    /// Has no meaning here.
    pub user: Option<Value>,
}

/// The embeddings of all inputs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EmbeddingList {
    /// Always `list`.
    pub object: &'static str,
    /// One for each input, in order.
    pub data: Vec<Embedding>,
    /// The model, as the request names it.
    pub model: String,
    /// Token counts.
    pub usage: EmbeddingUsage,
}

/// The embedding of one input.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Embedding {
    /// Always `embedding`.
    pub object: &'static str,
    /// Index of the input, from 0.
    pub index: usize,
    /// The vector.
    pub embedding: Vector,
}

/// A vector in one of its encodings.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Vector {
    /// The numbers.
    Float(Vec<f32>),
    /// Their bytes in base64.
    Base64(String),
}

/// Token counts of embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct EmbeddingUsage {
    /// Tokens of all inputs.
    pub prompt_tokens: u32,
    /// The same.
    pub total_tokens: u32,
}
