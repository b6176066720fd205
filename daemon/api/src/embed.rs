//! Embedding and reranking.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{KeepAlive, null_as_default};

/// One text or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// Body of `POST /api/embed`. A request without input loads the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbedRequest {
    /// Name of the model.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub model: String,
    /// Texts to embed.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub input: Texts,
    /// Whether an input longer than the model's context is cut (and counted) or refused; the default is `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
    /// Number of leading components to keep of each vector; 0 keeps all.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbedResponse {
    /// Name of the model.
    pub model: String,
    /// One vector of unit length for each input, in order.
    pub embeddings: Vec<Vec<f32>>,
    /// Time from the arrival of the request to its end.
    pub total_duration: u64,
    /// Time spent loading the model.
    pub load_duration: u64,
    /// Number of tokens in all inputs.
    pub prompt_eval_count: u32,
    /// Number of inputs that were cut (ours).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated_inputs: u32,
}

/// Body of `POST /api/embeddings`, the older route. A request without prompt loads the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ollama::EmbeddingsRequest)]
pub struct EmbeddingsRequest {
    /// Name of the model.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub model: String,
    /// Text to embed.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub prompt: String,
    /// How long the model stays loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// Parameters that go over those of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
}

/// Answer of `POST /api/embeddings`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingsResponse {
    /// The vector as the model computes it, not normalized.
    pub embedding: Vec<f32>,
}

/// One document to rank: a text, or an object with the member `text`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// Body of `POST /v1/rerank` and `/slm/v1/rerank`, in the shape that rerank services share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RerankRequest {
    /// Name of the model.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub model: String,
    /// The query that documents are scored against.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub query: String,
    /// Documents to rank.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub documents: Vec<Document>,
    /// Number of best documents to return; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_n: Option<u32>,
    /// Whether the answer repeats the documents; the default is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_documents: Option<bool>,
    /// Whether a document longer than the model's context is cut or refused; the default is `true`.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RerankResponse {
    /// Name of the model.
    pub model: String,
    /// The documents, best first.
    pub results: Vec<RankedDocument>,
    /// Tokens of the request.
    pub usage: Usage,
}

/// One document and its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RankedDocument {
    /// Its index in the request, from 0.
    pub index: usize,
    /// Higher is better; the scale depends on the model.
    pub relevance_score: f32,
    /// The document, if the request set `return_documents`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
}

/// Token counts of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = rerank::Usage)]
pub struct Usage {
    /// Tokens of the request.
    pub prompt_tokens: u32,
    /// The same number, because nothing is generated.
    pub total_tokens: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is that of a predicate for serde"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
