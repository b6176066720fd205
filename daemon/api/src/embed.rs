//! Embedding and reranking.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{KeepAlive, null_as_default};

/// One text or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub enum Texts {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Default for Texts {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl From<Texts> for Vec<String> {
    fn from(texts: Texts) -> Self {
        match texts {
            Texts::One(text) => vec![text],
            Texts::Many(texts) => texts,
        }
    }
}

/// Body of `POST /api/embed`. No input loads the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbedRequest {
    /// Name of the model.
    #[serde(default, deserialize_with = "null_as_default")]
    pub model: String,
    /// What to turn into vectors.
    #[serde(default, deserialize_with = "null_as_default")]
    pub input: Texts,
    /// Whether an input that is longer than the model reads is cut (and counted) or refused; cut unless this is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
    /// Keep so many numbers of each vector; 0 keeps all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// How long the model stays loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// Parameters that go over those of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
}

/// Answer of `POST /api/embed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbedResponse {
    /// Name of the model.
    pub model: String,
    /// One vector of length 1 for each input, in order.
    pub embeddings: Vec<Vec<f32>>,
    /// From the arrival of the request to its end.
    pub total_duration: u64,
    /// Part of it in which the model was loaded.
    pub load_duration: u64,
    /// Tokens of all inputs that were read.
    pub prompt_eval_count: u32,
    /// Inputs that were cut (ours).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated_inputs: u32,
}

/// Body of `POST /api/embeddings`, the older form. No prompt loads the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingsRequest {
    /// Name of the model.
    #[serde(default, deserialize_with = "null_as_default")]
    pub model: String,
    /// What to turn into a vector.
    #[serde(default, deserialize_with = "null_as_default")]
    pub prompt: String,
    /// How long the model stays loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// Parameters that go over those of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
}

/// Answer of `POST /api/embeddings`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingsResponse {
    /// The vector as the model gives it, of any length.
    pub embedding: Vec<f32>,
}

/// One document to rank: a text, or an object that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text or an object with the member `text`"
)]
pub enum Document {
    /// The text.
    Text(String),
    /// The text in an object.
    Object {
        /// The text.
        text: String,
    },
}

impl From<Document> for String {
    fn from(document: Document) -> Self {
        match document {
            Document::Text(text) | Document::Object { text } => text,
        }
    }
}

/// Body of `POST /v1/rerank` and `/api/rerank`, in the shape that rerank services share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RerankRequest {
    /// Name of the model.
    #[serde(default, deserialize_with = "null_as_default")]
    pub model: String,
    /// What the documents are to fit.
    #[serde(default, deserialize_with = "null_as_default")]
    pub query: String,
    /// What to rank.
    #[serde(default, deserialize_with = "null_as_default")]
    pub documents: Vec<Document>,
    /// Answer with so many of the best; all where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_n: Option<u32>,
    /// Repeat the documents in the answer; they are not unless this is `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_documents: Option<bool>,
    /// Whether a document that is longer than the model reads is cut or refused; cut unless this is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
    /// How long the model stays loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// Parameters that go over those of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
}

/// Answer of `POST /v1/rerank`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RerankResponse {
    /// Name of the model.
    pub model: String,
    /// The documents, best first.
    pub results: Vec<RankedDocument>,
    /// What was read.
    pub usage: Usage,
}

/// One document and how well it fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankedDocument {
    /// Its place in the request, from 0.
    pub index: usize,
    /// More is better; the scale is the model's own.
    pub relevance_score: f32,
    /// The document, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
}

/// Tokens that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of the request.
    pub prompt_tokens: u32,
    /// The same, because nothing is written.
    pub total_tokens: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is that of a predicate for serde"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
