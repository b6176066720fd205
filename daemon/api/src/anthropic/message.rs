//! The answer of a model as one message.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A message of the model.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = anthropic::Message)]
pub struct Message {
    /// Its id, `msg_…`.
    pub id: String,
    /// Always `message`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Always `assistant`.
    pub role: &'static str,
    /// The model, as the request names it.
    pub model: String,
    /// The blocks of the answer.
    pub content: Vec<OutputBlock>,
    /// Why the answer ended; null at the begin of a stream.
    pub stop_reason: Option<StopReason>,
    /// The stop text of the request that ended the answer.
    pub stop_sequence: Option<String>,
    /// Its token counts.
    pub usage: Usage,
}

/// A block of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputBlock {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// Thinking of the model.
    Thinking {
        /// The text; empty with `display: omitted`.
        thinking: String,
        /// A text that clients send back. slm ignores it.
        signature: String,
    },
    /// A tool call.
    ToolUse {
        /// Id of the call.
        id: String,
        /// Name of the tool.
        name: String,
        /// The arguments, an object.
        input: Value,
    },
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model ended its turn.
    EndTurn,
    /// The answer has `max_tokens` tokens.
    MaxTokens,
    /// A stop text of the request.
    StopSequence,
    /// The model calls tools.
    ToolUse,
    /// The context is full.
    ModelContextWindowExceeded,
}

/// Token counts of an answer. The three counts of input add up to the prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = anthropic::Usage)]
pub struct Usage {
    /// Tokens of the prompt that were computed.
    pub input_tokens: u32,
    /// Always 0: tokens that were computed count as `input_tokens`.
    pub cache_creation_input_tokens: u32,
    /// Tokens of the prompt that came from the KV cache.
    pub cache_read_input_tokens: u32,
    /// Always 0.
    pub cache_creation: CacheCreation,
    /// Tokens of the answer so far.
    pub output_tokens: u32,
    /// Always `standard`.
    pub service_tier: ServiceTier,
}

/// Tokens that were written to a cache, by its lifetime; always 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct CacheCreation {
    /// Always 0.
    pub ephemeral_5m_input_tokens: u32,
    /// Always 0.
    pub ephemeral_1h_input_tokens: u32,
}

/// The service tier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    /// The only one.
    #[default]
    Standard,
}

/// The number of tokens of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenCount {
    /// Tokens of messages, system prompt and tools, with the template.
    pub input_tokens: usize,
}
