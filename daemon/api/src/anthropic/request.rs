//! Requests for a message, and for the number of its tokens.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::content::{Blocks, InputMessage};
use super::tool::ToolChoice;
use crate::KeepAlive;

/// `POST /v1/messages`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct MessagesRequest {
    /// Name of the model.
    pub model: String,
    /// The conversation. A last message of the assistant is continued.
    pub messages: Vec<InputMessage>,
    /// Most tokens of the answer, thinking included. 0 computes the prompt and generates nothing.
    pub max_tokens: u32,
    /// The system prompt. Blocks that begin with `x-anthropic-billing-header:` are left out, because they change with each request.
    pub system: Option<Blocks>,
    /// `true` streams the answer as server-sent events.
    pub stream: Option<bool>,
    /// Stop texts.
    pub stop_sequences: Option<Vec<String>>,
    /// The temperature.
    pub temperature: Option<f64>,
    /// Sample from the most likely tokens with this probability together.
    pub top_p: Option<f64>,
    /// Sample from this many most likely tokens.
    pub top_k: Option<u32>,
    /// Whether the model thinks.
    pub thinking: Option<Thinking>,
    /// How much the model thinks, and the format of its answer.
    pub output_config: Option<OutputConfig>,
    /// The format of the answer; the older place of `output_config.format`.
    pub output_format: Option<OutputFormat>,
    /// The tools that the model may call, each a [`Tool`](super::Tool). Tools of a server are left out.
    #[schema(value_type = Option<Vec<super::Tool>>)]
    pub tools: Option<Vec<Value>>,
    /// Whether the model may, must or must not call a tool.
    pub tool_choice: Option<ToolChoice>,
    /// How long the model stays loaded afterwards (slm).
    pub keep_alive: Option<KeepAlive>,
    /// A sandbox for code. Refused: slm runs no code.
    pub container: Option<Value>,
    /// Addresses of MCP servers. Refused: slm connects to none.
    pub mcp_servers: Option<Vec<Value>>,
    /// A conversation that the server stores. Refused: slm stores none.
    pub thread: Option<Value>,
    /// No meaning: every prompt is cached.
    pub cache_control: Option<Value>,
    /// No meaning: nothing is cleared from the conversation.
    pub context_management: Option<Value>,
    /// No meaning: nothing is cleared from the conversation.
    pub compaction: Option<Value>,
    /// No meaning.
    pub metadata: Option<Value>,
    /// No meaning: there is one tier.
    pub service_tier: Option<Value>,
    /// No meaning.
    pub speed: Option<Value>,
    /// No meaning.
    pub inference_geo: Option<Value>,
    /// No meaning.
    pub diagnostics: Option<Value>,
    /// No meaning.
    pub billing_policy: Option<Value>,
    /// No meaning.
    pub fallbacks: Option<Value>,
    /// No meaning.
    pub fallback_credit_token: Option<Value>,
    /// No meaning.
    pub user_profile_id: Option<Value>,
    /// No meaning.
    pub workspace_id: Option<Value>,
}

/// `POST /v1/messages/count_tokens`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct CountTokensRequest {
    /// Name of the model, which is loaded to count.
    pub model: String,
    /// The conversation.
    pub messages: Vec<InputMessage>,
    /// The system prompt.
    pub system: Option<Blocks>,
    /// Whether the model thinks.
    pub thinking: Option<Thinking>,
    /// How much the model thinks. Its format does not change the prompt.
    pub output_config: Option<OutputConfig>,
    /// No meaning: the format does not change the prompt.
    pub output_format: Option<OutputFormat>,
    /// The tools, each a [`Tool`](super::Tool).
    #[schema(value_type = Option<Vec<super::Tool>>)]
    pub tools: Option<Vec<Value>>,
    /// Whether the model may, must or must not call a tool.
    pub tool_choice: Option<ToolChoice>,
    /// How long the model stays loaded afterwards (slm).
    pub keep_alive: Option<KeepAlive>,
    /// Refused, as for a message.
    pub mcp_servers: Option<Vec<Value>>,
    /// No meaning.
    pub cache_control: Option<Value>,
    /// No meaning.
    pub context_management: Option<Value>,
    /// No meaning.
    pub speed: Option<Value>,
    /// No meaning.
    pub user_profile_id: Option<Value>,
    /// No meaning.
    pub workspace_id: Option<Value>,
}

/// Whether the model thinks. Without this field and without `output_config.effort` it does not.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct Thinking {
    /// `disabled`; `enabled`, `adaptive` or `between_tools` turn thinking on, if the model can think.
    #[serde(rename = "type")]
    pub kind: String,
    /// No meaning: `max_tokens` limits thinking and answer together.
    pub budget_tokens: Option<u64>,
    /// `omitted` leaves the text of the thinking out of the answer.
    pub display: Option<String>,
}

/// How much the model thinks, and the format of its answer.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct OutputConfig {
    /// `low`, `medium`, `high`, `xhigh` or `max`: the level of thinking, for models that have levels. `xhigh` counts as `max`.
    pub effort: Option<String>,
    /// The format of the answer.
    pub format: Option<OutputFormat>,
    /// No meaning: the model is not told how many tokens it may take.
    pub task_budget: Option<Value>,
}

/// The format of an answer.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct OutputFormat {
    /// `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The JSON Schema that the answer follows.
    pub schema: Option<Map<String, Value>>,
}
