//! Generate and chat.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::null_as_default;

/// How long a model stays loaded after its last request.
///
/// On the wire it is a number of seconds (fractions allowed) or a text such as `5m` or `1h30m`. A negative one keeps the model
/// loaded for ever, 0 unloads it at once. The value stays as it came; the daemon parses it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected a number of seconds or a text such as \"5m\""
)]
pub enum KeepAlive {
    /// Seconds.
    Seconds(f64),
    /// A duration with units.
    Text(String),
}

/// Whether the model thinks before it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected true, false or a level such as \"low\""
)]
pub enum Think {
    /// On or off.
    Switch(bool),
    /// `low`, `medium`, `high` or `max`, for models with levels.
    Level(String),
}

/// Body of `POST /api/generate`. An empty prompt loads the model; with `keep_alive: 0` it unloads it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GenerateRequest {
    /// Name of the model.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub model: String,
    /// What to continue.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub prompt: String,
    /// Text after the gap that the model fills (fill in the middle).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// Replaces the model's system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Replaces the model's template (Go syntax).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Tokens of an earlier answer that this one continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Vec<i32>>,
    /// Whether the answer is a stream; the default is `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Whether the prompt goes to the model verbatim, without the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<bool>,
    /// `"json"` or a JSON Schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Value>,
    /// How long the model stays loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// Images in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<String>>,
    /// Parameters that override those of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
    /// Whether the model thinks before it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think: Option<Think>,
    /// Whether a prompt that does not fit the context is cut (and counted) or refused; the default is `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
    /// `false` refuses a prompt that does not fit the context, as `truncate: false` does. An answer is never shifted: it ends
    /// where the context ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<bool>,
    /// Whether the answer is a [`RenderedPrompt`], without generating.
    #[serde(
        default,
        rename = "_debug_render_only",
        skip_serializing_if = "Option::is_none"
    )]
    pub debug_render_only: Option<bool>,
    /// Whether to report the logprob of each token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// Number of most likely alternatives to report for each token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
    /// Biases added to logits, by token id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// Scales of the model's adapters for this answer; an adapter that the list leaves out has scale 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Vec<AdapterScale>>,
    /// Whether the request is computed alone, so that the same request gives the same text; the default is the setting `deterministic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deterministic: Option<bool>,
}

/// Answer to a request with `_debug_render_only`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RenderedPrompt {
    /// Name of the model.
    pub model: String,
    /// Time of the answer.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The prompt.
    #[serde(rename = "_debug_info")]
    pub debug_info: DebugInfo,
}

/// The prompt that the model would read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DebugInfo {
    /// The text, with a marker for each image.
    pub rendered_template: String,
    /// Number of images.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub image_count: u32,
}

/// The scale of one adapter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AdapterScale {
    /// Index of the adapter in the model, from 0.
    pub id: u32,
    /// 0 turns the adapter off, 1 is its full strength.
    pub scale: f32,
}

/// One event of `POST /api/generate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GenerateEvent {
    /// Name of the model.
    pub model: String,
    /// Time of this event.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The next piece of the answer.
    #[serde(default)]
    pub response: String,
    /// The next piece of thinking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// Whether this is the last event.
    #[serde(default)]
    pub done: bool,
    /// Why the answer ended; on the last event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_reason: Option<DoneReason>,
    /// Outcome of a request to unload the model (ours); with the reason `unload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unload: Option<Unload>,
    /// Prompt and answer as tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Vec<i32>>,
    /// Logprob of each token of `response`, if the request asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<Logprob>>,
    /// Durations and token counts; on the last event.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timings)]
    pub timings: Option<Timings>,
}

/// One message of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ollama::Message)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub content: String,
    /// The model's thinking before this message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// Images in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<String>>,
    /// Tool calls of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// Name of the tool whose result this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_name: Option<String>,
    /// Id of the call whose result this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// A tool call of the model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ollama::ToolCall)]
pub struct ToolCall {
    /// Id of the call; a tool result names it in `tool_call_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The function and its arguments.
    pub function: FunctionCall,
}

/// A function and its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ollama::FunctionCall)]
pub struct FunctionCall {
    /// Index of the call in the answer, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// Name of the function.
    pub name: String,
    /// Arguments by name, in the model's order. A string that contains such an object is accepted too.
    #[serde(default)]
    pub arguments: Value,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ollama::Tool)]
pub struct Tool {
    /// `function`, the only kind.
    #[serde(rename = "type", default = "function")]
    pub kind: String,
    /// The function.
    pub function: Function,
}

/// A function that a tool offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub description: String,
    /// JSON Schema of its parameters.
    #[serde(default)]
    pub parameters: Value,
}

fn function() -> String {
    "function".to_owned()
}

/// Body of `POST /api/chat`. A request without messages loads the model; with `keep_alive: 0` it unloads it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ollama::ChatRequest)]
pub struct ChatRequest {
    /// Name of the model.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub model: String,
    /// The conversation, first to last.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(nullable)]
    pub messages: Vec<Message>,
    /// Functions that the model may call, each a [`Tool`]. The daemon parses each one alone, so a malformed tool does not
    /// invalidate the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Tool>>)]
    pub tools: Option<Vec<Value>>,
    /// `"auto"`, `"none"`, `"required"`, or the one function that must be called:
    /// `{"type": "function", "function": {"name": "…"}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    /// Whether the answer is a stream; the default is `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// `"json"` or a JSON Schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Value>,
    /// How long the model stays loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// Parameters that override those of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
    /// Whether the model thinks before it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think: Option<Think>,
    /// Whether a conversation that does not fit the context loses its oldest messages (counted in the timings) or is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
    /// Has no effect: an answer is never shifted, and ends where the context ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<bool>,
    /// Whether the answer is a [`RenderedPrompt`], without generating.
    #[serde(
        default,
        rename = "_debug_render_only",
        skip_serializing_if = "Option::is_none"
    )]
    pub debug_render_only: Option<bool>,
    /// Whether to report the logprob of each token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// Number of most likely alternatives to report for each token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
    /// Biases added to logits, by token id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// Scales of the model's adapters for this answer; an adapter that the list leaves out has scale 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Vec<AdapterScale>>,
    /// Whether the request is computed alone, so that the same request gives the same text; the default is the setting `deterministic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deterministic: Option<bool>,
}

/// One event of `POST /api/chat`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatEvent {
    /// Name of the model.
    pub model: String,
    /// Time of this event.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The next piece of the answer.
    pub message: Message,
    /// Whether this is the last event.
    #[serde(default)]
    pub done: bool,
    /// Why the answer ended; on the last event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_reason: Option<DoneReason>,
    /// Outcome of a request to unload the model (ours); with the reason `unload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unload: Option<Unload>,
    /// Logprob of each token of the message, if the request asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<Logprob>>,
    /// Warnings on the last event: parts of the request that were left out, such as a malformed tool (ours).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Durations and token counts; on the last event.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timings)]
    pub timings: Option<Timings>,
}

/// The logprob of a token, and its alternatives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ollama::Logprob)]
pub struct Logprob {
    /// The sampled token.
    #[serde(flatten)]
    pub chosen: TokenLogprob,
    /// The most likely tokens at this position, most likely first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<TokenLogprob>,
}

/// One token and its logprob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ollama::TokenLogprob)]
pub struct TokenLogprob {
    /// Its text; U+FFFD stands for an incomplete character.
    pub token: String,
    /// Natural logarithm of its probability before samplers and constraints; −9999 to 0.
    pub logprob: f32,
    /// Its bytes.
    #[serde(default)]
    pub bytes: Vec<u8>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoneReason {
    /// The model ended its turn, or a stop text came.
    Stop,
    /// The token limit or the context was reached.
    Length,
    /// The model was loaded, and the request asked nothing.
    Load,
    /// The model was unloaded.
    Unload,
}

/// Outcome of a request to unload a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unload {
    /// The model was unloaded.
    Done,
    /// The model is in use, and is unloaded after its last answer.
    WhenIdle,
    /// The model was not loaded.
    NotLoaded,
    /// The model is pinned, and stays loaded.
    Pinned,
}

/// Durations (in nanoseconds) and token counts of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ollama::Timings)]
pub struct Timings {
    /// Time from the arrival of the request to its last event.
    #[schema(required = false)]
    pub total_duration: u64,
    /// Time until the model was loaded; part of the total.
    #[schema(required = false)]
    pub load_duration: u64,
    /// Tokens of the prompt, computed or cached.
    #[serde(default)]
    pub prompt_eval_count: u32,
    /// Time of prefill.
    #[serde(default)]
    pub prompt_eval_duration: u64,
    /// Tokens of the answer.
    #[serde(default)]
    pub eval_count: u32,
    /// Time of decoding.
    #[serde(default)]
    pub eval_duration: u64,
    /// Prompt tokens that came from the cache (ours).
    #[serde(default)]
    pub cached_tokens: u32,
    /// Drafted tokens, accepted or not (ours).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub drafted_tokens: u32,
    /// Drafted tokens that were accepted (ours).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub accepted_tokens: u32,
    /// Tokens that were cut from the prompt, so that a cut is never silent (ours).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated_tokens: u32,
    /// Messages that were dropped from the conversation to make it fit (ours).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated_messages: u32,
    /// Seed of the answer, to repeat it (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
