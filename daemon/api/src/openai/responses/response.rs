//! A response.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::item::OutputItem;
use super::request::{ReasoningOptions, TextOptions};

/// Type of a response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ResponseType {
    /// The only value.
    #[default]
    #[serde(rename = "response")]
    Response,
}

/// A response of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Response {
    /// Its id, `resp_…`.
    pub id: String,
    /// Always `response`.
    pub object: ResponseType,
    /// When it began, in seconds since 1970.
    pub created_at: i64,
    /// When it was complete, in seconds since 1970.
    pub completed_at: Option<i64>,
    /// Its status.
    pub status: ResponseStatus,
    /// Why it failed.
    pub error: Option<ResponseError>,
    /// Why it is incomplete.
    pub incomplete_details: Option<IncompleteDetails>,
    /// The model, as the request names it.
    pub model: String,
    /// What the model generated, in order.
    pub output: Vec<OutputItem>,
    /// Token counts; `null` until it ends.
    pub usage: Option<ResponseUsage>,
    /// The instructions of the request.
    pub instructions: Option<String>,
    /// The response that it continues.
    pub previous_response_id: Option<String>,
    /// The conversation that it continues.
    pub conversation: Option<ConversationId>,
    /// Whether it is saved.
    pub store: bool,
    /// Whether it was generated after its request was answered.
    pub background: bool,
    /// The tools of the request.
    pub tools: Vec<Value>,
    /// The tool choice of the request.
    pub tool_choice: Value,
    /// Whether it may have several calls.
    pub parallel_tool_calls: bool,
    /// The limit of the request.
    pub max_tool_calls: Option<u32>,
    /// The format of the text.
    pub text: TextOptions,
    /// How the model was asked to think.
    pub reasoning: ReasoningOptions,
    /// The temperature of the request; `null` for the model's.
    pub temperature: Option<f64>,
    /// The top-p of the request; `null` for the model's.
    pub top_p: Option<f64>,
    /// The number of top logprobs.
    pub top_logprobs: u32,
    /// The limit of tokens of the request.
    pub max_output_tokens: Option<u64>,
    /// What happens to a prompt that does not fit the context.
    pub truncation: String,
    /// The metadata of the request.
    pub metadata: BTreeMap<String, String>,
    /// Always `default`.
    pub service_tier: String,
    /// As in the request.
    pub user: Option<String>,
    /// As in the request.
    pub safety_identifier: Option<String>,
    /// As in the request.
    pub prompt_cache_key: Option<String>,
    /// As in the request.
    pub prompt_cache_retention: Option<String>,
    /// What was left out of the request, for people (slm).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How far a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    /// A response in the background that waits for its model.
    Queued,
    /// It is generated.
    InProgress,
    /// It is complete.
    Completed,
    /// It was cut off at a limit of tokens.
    Incomplete,
    /// It ended with an error.
    Failed,
    /// A client cancelled it.
    Cancelled,
}

impl ResponseStatus {
    /// Whether the response has not ended yet.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::InProgress)
    }
}

/// Why a response failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResponseError {
    /// One of OpenAI's codes.
    pub code: String,
    /// The message, for people.
    pub message: String,
}

/// Why a response is incomplete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IncompleteDetails {
    /// Always `max_output_tokens`.
    pub reason: String,
}

/// The conversation of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConversationId {
    /// Its id.
    pub id: String,
}

/// Token counts of a response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResponseUsage {
    /// Tokens of the prompt.
    pub input_tokens: u32,
    /// Of these, by their origin.
    pub input_tokens_details: InputTokensDetails,
    /// Tokens of the answer, with its reasoning.
    pub output_tokens: u32,
    /// Of these, by their use.
    pub output_tokens_details: OutputTokensDetails,
    /// The sum of both.
    pub total_tokens: u32,
}

/// Tokens of the prompt by their origin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InputTokensDetails {
    /// Tokens from the KV cache.
    pub cached_tokens: u32,
    /// Always 0: writing to the KV cache costs nothing.
    pub cache_write_tokens: u32,
}

/// Tokens of the answer by their use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutputTokensDetails {
    /// Tokens of the reasoning, estimated by its share of the bytes.
    pub reasoning_tokens: u32,
}
