//! Bodies of requests for a response.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::KeepAlive;

/// Body of `POST /v1/responses`. A field that is `null` counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ResponseRequest {
    /// Name of the model.
    pub model: Option<String>,
    /// A text, which is a message of the user, or a list of items.
    pub input: Option<Value>,
    /// Text of a system message before all others. It is not inherited from an earlier response.
    pub instructions: Option<String>,
    /// Id of a saved response that this one continues.
    pub previous_response_id: Option<String>,
    /// Id of a conversation that this response continues. Its items are added to the conversation.
    pub conversation: Option<ConversationRef>,
    /// Tools that the model may call: functions, and namespaces of functions. Tools of other types are skipped, and named in `warnings`.
    pub tools: Option<Vec<Value>>,
    /// `auto`, `none`, `required`, a function, or a list of allowed tools.
    pub tool_choice: Option<Value>,
    /// Whether one answer may have several calls.
    pub parallel_tool_calls: Option<bool>,
    /// Without meaning here: it limits calls of tools that the server runs, and slm runs none.
    pub max_tool_calls: Option<u32>,
    /// Format of the text.
    pub text: Option<TextOptions>,
    /// How the model thinks.
    pub reasoning: Option<ReasoningOptions>,
    /// Further parts of the response: `message.output_text.logprobs` and `reasoning.encrypted_content`. The other known values are
    /// without meaning here.
    pub include: Option<Vec<String>>,
    /// Temperature of the sampler.
    #[schema(value_type = Option<f64>)]
    pub temperature: Option<Value>,
    /// Top-p of the sampler.
    #[schema(value_type = Option<f64>)]
    pub top_p: Option<Value>,
    /// Number of top logprobs of each token, at most 20.
    pub top_logprobs: Option<u32>,
    /// Most tokens of the answer, with its reasoning.
    #[schema(value_type = Option<u32>)]
    pub max_output_tokens: Option<Value>,
    /// Whether the oldest messages are dropped from a prompt that does not fit the context: `auto` or `disabled`, the default.
    pub truncation: Option<String>,
    /// Whether the response is saved; the default is `true`.
    pub store: Option<bool>,
    /// Whether the response is generated after the request is answered. Such a response is saved, and not streamed.
    pub background: Option<bool>,
    /// Whether the response is a stream of events.
    pub stream: Option<bool>,
    /// Options of the stream.
    pub stream_options: Option<ResponseStreamOptions>,
    /// Up to 16 texts by name, which the response repeats.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Without meaning here; the response repeats it.
    pub user: Option<String>,
    /// Without meaning here; Codex sends it.
    pub client_metadata: Option<Value>,
    /// Without meaning here; the response repeats it.
    pub safety_identifier: Option<String>,
    /// Without meaning here, because every prompt is cached; the response repeats it.
    pub prompt_cache_key: Option<String>,
    /// Without meaning here; the response repeats it.
    pub prompt_cache_retention: Option<String>,
    /// Without meaning here.
    pub prompt_cache_options: Option<Value>,
    /// Without meaning here; the response has `default`.
    pub service_tier: Option<String>,
    /// Refused: slm has no saved prompts.
    pub prompt: Option<Value>,
    /// Without meaning here, and named in `warnings`: slm does not compact a context.
    pub context_management: Option<Value>,
    /// Without meaning here, and named in `warnings`: slm does not moderate.
    pub moderation: Option<Value>,
    /// Without meaning here.
    pub background_options: Option<Value>,
    /// Without meaning here.
    pub access_programs: Option<Value>,
    /// Without meaning here.
    pub image: Option<Value>,
    /// How long the model stays loaded (slm).
    pub keep_alive: Option<KeepAlive>,
    /// Parameters that override those of the model, by their names in a Modelfile (slm).
    pub options: Option<Map<String, Value>>,
}

/// Body of `POST /v1/responses/input_tokens`: the fields of [`ResponseRequest`] that the prompt depends on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct InputTokensRequest {
    /// Name of the model.
    pub model: Option<String>,
    /// As in [`ResponseRequest`].
    pub input: Option<Value>,
    /// As in [`ResponseRequest`].
    pub instructions: Option<String>,
    /// As in [`ResponseRequest`].
    pub previous_response_id: Option<String>,
    /// As in [`ResponseRequest`].
    pub conversation: Option<ConversationRef>,
    /// As in [`ResponseRequest`].
    pub tools: Option<Vec<Value>>,
    /// As in [`ResponseRequest`].
    pub tool_choice: Option<Value>,
    /// As in [`ResponseRequest`].
    pub parallel_tool_calls: Option<bool>,
    /// As in [`ResponseRequest`].
    pub text: Option<TextOptions>,
    /// As in [`ResponseRequest`].
    pub reasoning: Option<ReasoningOptions>,
    /// As in [`ResponseRequest`].
    pub truncation: Option<String>,
    /// Without meaning here.
    pub personality: Option<String>,
    /// As in [`ResponseRequest`].
    pub keep_alive: Option<KeepAlive>,
    /// As in [`ResponseRequest`].
    pub options: Option<Map<String, Value>>,
}

/// A conversation: its id, or an object with its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected the id of a conversation, or an object with its id"
)]
pub enum ConversationRef {
    /// The id.
    Id(String),
    /// An object with the id.
    Object {
        /// The id.
        id: String,
    },
}

impl ConversationRef {
    /// The id.
    pub fn id(&self) -> &str {
        match self {
            Self::Id(id) | Self::Object { id } => id,
        }
    }
}

/// Format of the text of a response.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TextOptions {
    /// `{"type": "text"}`, `{"type": "json_object"}`, or `{"type": "json_schema", "name", "schema"}`.
    pub format: Option<Value>,
    /// Without meaning here; the response repeats it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<String>,
}

/// How the model thinks before it answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = openai::responses::ReasoningOptions)]
pub struct ReasoningOptions {
    /// `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`. A model that cannot think ignores it.
    pub effort: Option<String>,
    /// With any value, the thinking is the summary of its item, and comes in the events of summaries.
    pub summary: Option<String>,
    /// The older name of `summary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generate_summary: Option<String>,
    /// Without meaning here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Without meaning here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// Options of the stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ResponseStreamOptions {
    /// Without meaning here: events have no random padding.
    pub include_obfuscation: Option<bool>,
}
