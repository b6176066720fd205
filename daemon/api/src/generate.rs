//! Generate and chat.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::null_as_default;

/// How long a model stays loaded after its last request.
///
/// On the wire a number of seconds (fractions allowed) or a text such as `5m` or `1h30m`; negative means for ever, 0 means
/// that it is unloaded at once. It is kept as it came; the daemon reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected true, false or a level such as \"low\""
)]
pub enum Think {
    /// On or off.
    Switch(bool),
    /// `low`, `medium`, `high` or `max`, for models that know levels.
    Level(String),
}

/// Body of `POST /api/generate`. An empty prompt loads the model; with `keep_alive: 0` it unloads it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GenerateRequest {
    /// Name of the model.
    #[serde(default, deserialize_with = "null_as_default")]
    pub model: String,
    /// What to continue.
    #[serde(default, deserialize_with = "null_as_default")]
    pub prompt: String,
    /// Text that follows what is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// Replaces the model's system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Replaces the model's template (Go syntax).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Tokens of an earlier answer to go on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Vec<i32>>,
    /// Whether the answer is a stream; it is unless this is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// The prompt goes to the model as it is, without template.
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
    /// Parameters that go over those of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
    /// Think first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think: Option<Think>,
    /// Whether a prompt that does not fit is cut (and reported) or refused; cut unless this is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
    /// Accepted for Ollama's clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<bool>,
    /// Report the probability of each token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// Of so many alternatives too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
    /// What is added to the scores of tokens, by their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// Adapters of the model for this answer; those that are not named are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Vec<AdapterScale>>,
    /// Computed when nothing else is, so that the same request gives the same text; the setting `deterministic` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deterministic: Option<bool>,
}

/// How much of an adapter is added to the model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdapterScale {
    /// Which adapter of the model, from 0.
    pub id: u32,
    /// 0 leaves it out, 1 is as it was made.
    pub scale: f32,
}

/// One event of `POST /api/generate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateEvent {
    /// Name of the model.
    pub model: String,
    /// When this event was made.
    pub created_at: Timestamp,
    /// More of the answer.
    #[serde(default)]
    pub response: String,
    /// More of what the model thinks before it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// Whether this is the last event.
    #[serde(default)]
    pub done: bool,
    /// Why it is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_reason: Option<DoneReason>,
    /// What became of the wish to unload the model (ours); with the reason `unload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unload: Option<Unload>,
    /// Prompt and answer as tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Vec<i32>>,
    /// How likely each token of `response` was, where that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<Logprob>>,
    /// What it took; on the last event.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// One message of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text.
    #[serde(default, deserialize_with = "null_as_default")]
    pub content: String,
    /// What the model thought before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// Images in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<String>>,
    /// Calls that the model made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// The tool whose result this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_name: Option<String>,
    /// The call whose result this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// A call that the model made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call, so that a result can say what it is the result of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What is called.
    pub function: FunctionCall,
}

/// What is called, and with what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// Which call of the answer this is, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The function.
    pub name: String,
    /// Its arguments by name, in the order of the model. A text that holds such an object is taken too.
    #[serde(default)]
    pub arguments: Value,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `function`, the only kind there is.
    #[serde(rename = "type", default = "function")]
    pub kind: String,
    /// What can be called.
    pub function: Function,
}

/// What can be called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    #[serde(default, deserialize_with = "null_as_default")]
    pub description: String,
    /// JSON Schema of its parameters.
    #[serde(default)]
    pub parameters: Value,
}

fn function() -> String {
    "function".to_owned()
}

/// Body of `POST /api/chat`. No messages load the model; with `keep_alive: 0` they unload it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// Name of the model.
    #[serde(default, deserialize_with = "null_as_default")]
    pub model: String,
    /// The conversation, first to last.
    #[serde(default, deserialize_with = "null_as_default")]
    pub messages: Vec<Message>,
    /// Functions that the model may call, each a [`Tool`]. They are read one by one, so that one that is not in order takes
    /// no other with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Value>>,
    /// `"auto"`, `"none"`, `"required"`, or the one function that must be called:
    /// `{"type": "function", "function": {"name": "…"}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    /// Whether the answer is a stream; it is unless this is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// `"json"` or a JSON Schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Value>,
    /// How long the model stays loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// Parameters that go over those of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
    /// Think first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think: Option<Think>,
    /// Whether a conversation that does not fit loses its oldest messages (and says so) or is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
    /// Accepted for Ollama's clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<bool>,
    /// Report the probability of each token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// Of so many alternatives too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
    /// What is added to the scores of tokens, by their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// Adapters of the model for this answer; those that are not named are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Vec<AdapterScale>>,
    /// Computed when nothing else is, so that the same request gives the same text; the setting `deterministic` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deterministic: Option<bool>,
}

/// One event of `POST /api/chat`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatEvent {
    /// Name of the model.
    pub model: String,
    /// When this event was made.
    pub created_at: Timestamp,
    /// More of the answer.
    pub message: Message,
    /// Whether this is the last event.
    #[serde(default)]
    pub done: bool,
    /// Why it is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_reason: Option<DoneReason>,
    /// What became of the wish to unload the model (ours); with the reason `unload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unload: Option<Unload>,
    /// How likely each token of the message was, where that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<Logprob>>,
    /// On the last event, for people: what of the request was left out, such as a tool that is not in order (ours).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What it took; on the last event.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// A token and how likely the model found it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logprob {
    /// The token that was chosen.
    #[serde(flatten)]
    pub chosen: TokenLogprob,
    /// The likeliest tokens in its place, likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<TokenLogprob>,
}

/// One token and its probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// Its text; what is no whole character is shown by U+FFFD.
    pub token: String,
    /// Natural logarithm of its probability, before samplers and constraints; −9999 to 0.
    pub logprob: f32,
    /// Its bytes.
    #[serde(default)]
    pub bytes: Vec<u8>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoneReason {
    /// The model ended it, or a stop text came.
    Stop,
    /// The limit of tokens or the context was reached.
    Length,
    /// The model was loaded, nothing was asked.
    Load,
    /// The model was unloaded.
    Unload,
}

/// What became of the wish to unload a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unload {
    /// It is gone from memory.
    Done,
    /// It is in use, and goes when its last answer is over.
    WhenIdle,
    /// It was not loaded.
    NotLoaded,
}

/// What an answer took. Durations in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// From the arrival of the request to its last event.
    pub total_duration: u64,
    /// Of these, until the model was loaded.
    pub load_duration: u64,
    /// Tokens of the prompt, computed or remembered.
    #[serde(default)]
    pub prompt_eval_count: u32,
    /// Time for the prompt.
    #[serde(default)]
    pub prompt_eval_duration: u64,
    /// Tokens of the answer.
    #[serde(default)]
    pub eval_count: u32,
    /// Time for the answer.
    #[serde(default)]
    pub eval_duration: u64,
    /// Tokens of the prompt that were remembered (ours).
    #[serde(default)]
    pub cached_tokens: u32,
    /// Tokens that were drafted, whether or not they became part of the answer (ours).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub drafted_tokens: u32,
    /// Of these, tokens that did (ours).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub accepted_tokens: u32,
    /// Tokens that were cut from the prompt, so a cut is never silent (ours).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated_tokens: u32,
    /// Messages that were dropped from the conversation to make it fit (ours).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated_messages: u32,
    /// Seed that was used, so that an answer can be had again (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
