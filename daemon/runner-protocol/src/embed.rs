//! Embeddings and reranking.

use serde::{Deserialize, Serialize};

use crate::load::AdapterScale;

/// Most inputs of one [`Embed`] and documents of one [`Rerank`]. The vectors of the widest model then fit a frame.
pub const MAX_INPUTS: usize = 256;

/// Inputs to turn into vectors, by an embedding model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embed {
    /// 1 to [`MAX_INPUTS`] inputs, each with at least one token.
    pub inputs: Vec<Input>,
    /// Keep the first numbers of each vector, 1 to the width of the model; `None` keeps all.
    pub dimensions: Option<u32>,
    /// Scale each vector to length 1, after `dimensions`.
    pub normalize: bool,
    /// Truncate inputs that are longer than the context, instead of refusing them.
    pub truncate: bool,
    /// Most tokens of one input, [`MIN_CONTEXT`](crate::MIN_CONTEXT) or more. `None` and larger values mean
    /// [`Loaded::context`](crate::Loaded::context).
    #[serde(default)]
    pub context: Option<u32>,
    /// See [`Generate::adapters`](crate::Generate::adapters).
    #[serde(default)]
    pub adapters: Vec<AdapterScale>,
}

/// One input to turn into a vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Text. Its special tokens at start and end are added, and control tokens in it are parsed.
    Text(String),
    /// Tokens as they are; out-of-range ids are refused.
    Tokens(Vec<i32>),
}

/// Documents to score, by a reranker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rerank {
    /// The query.
    pub query: String,
    /// 1 to [`MAX_INPUTS`] documents.
    pub documents: Vec<String>,
    /// Truncate documents that are longer than the context, instead of refusing them.
    pub truncate: bool,
    /// Most tokens of query and document together; see [`Embed::context`].
    #[serde(default)]
    pub context: Option<u32>,
    /// See [`Generate::adapters`](crate::Generate::adapters).
    #[serde(default)]
    pub adapters: Vec<AdapterScale>,
}

/// Vectors of inputs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Embeddings {
    /// One vector for each input, in order; all of one width, all numbers finite.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all inputs after truncation.
    pub prompt_tokens: u32,
    /// Inputs that were truncated.
    pub truncated: u32,
}

/// Relevance of documents to a query.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// One score for each document, in order; all finite. Higher is better; the scale is the model's own.
    pub scores: Vec<f32>,
    /// Tokens of all pairs after truncation.
    pub prompt_tokens: u32,
    /// Documents that were truncated.
    pub truncated: u32,
}
