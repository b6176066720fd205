//! Bodies of `POST /v1/chat/completions`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::shared::with_shared_fields;
use super::{
    AnswerMessage, CallDelta, ChatMessage, ChoiceLogprobs, FunctionDelta, PromptProgress,
    ResponseFormat, Timings, Usage,
};
use crate::Think;

with_shared_fields! {
    /// Body of `POST /v1/chat/completions`. A field that is `null` counts as absent.
    #[schema(as = openai::ChatRequest)]
    pub struct ChatRequest {
        /// Name of the model. Required.
        pub model: Option<String>,
        /// The conversation, first message to last. Required. A last message of the assistant is continued.
        pub messages: Option<Vec<ChatMessage>>,
        /// Functions that the model may call: `{"type": "function", "function": {"name", "description", "parameters"}}`. A tool that
        /// cannot be offered is left out, and named in the header `slm-ignored-fields`.
        pub tools: Option<Vec<Value>>,
        /// `auto`, `none`, `required`, a function `{"type": "function", "function": {"name"}}`, or
        /// `{"type": "allowed_tools", "allowed_tools": {"mode": "auto" or "required", "tools"}}`.
        pub tool_choice: Option<Value>,
        /// Whether one answer may have several calls.
        pub parallel_tool_calls: Option<bool>,
        /// The older form of `tools`: a list of functions. The answer then has `function_call`. It goes without `tools`.
        pub functions: Option<Vec<Value>>,
        /// The older form of `tool_choice`: `auto`, `none` or `{"name"}`.
        pub function_call: Option<Value>,
        /// Format of the answer.
        pub response_format: Option<ResponseFormat>,
        /// Maximum number of tokens to generate; has priority over `max_tokens`.
        #[schema(value_type = Option<i64>)]
        pub max_completion_tokens: Option<Value>,
        /// Whether to report the logprob of each token.
        pub logprobs: Option<bool>,
        /// Number of most likely alternatives to report for each token, at most 20. It goes with `logprobs`.
        #[schema(value_type = Option<u32>)]
        pub top_logprobs: Option<Value>,
        /// How much the model thinks: `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`. A model that cannot think ignores it.
        pub reasoning_effort: Option<String>,
        /// The same in an object.
        pub reasoning: Option<ReasoningOptions>,
        /// Whether the model thinks, or at which level (Ollama). It has priority over `reasoning_effort`.
        pub think: Option<Think>,
        /// Variables of the chat template: `enable_thinking` and `thinking` turn thinking on or off, `reasoning_effort` sets its level, and
        /// a few others reach the template (llama.cpp). Other names are refused.
        pub chat_template_kwargs: Option<Map<String, Value>>,
        /// Has no meaning here: the answer is the same without it.
        pub prediction: Option<Value>,
        /// Has no meaning here.
        pub verbosity: Option<Value>,
        /// `text`; other modalities are refused.
        pub modalities: Option<Vec<String>>,
        /// Refused.
        pub audio: Option<Value>,
        /// Refused.
        pub web_search_options: Option<Value>,
        /// Refused.
        pub moderation: Option<Value>,
        /// Has no meaning here: thinking always comes in a field of its own (llama.cpp).
        pub reasoning_format: Option<Value>,
        /// Has no meaning here: calls are always parsed (llama.cpp).
        pub parse_tool_calls: Option<Value>,
    }
}

/// How the model thinks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = openai::ReasoningOptions)]
pub struct ReasoningOptions {
    /// As `reasoning_effort`, which has priority.
    pub effort: Option<String>,
    /// Whether the model thinks; counts if there is no effort.
    pub enabled: Option<bool>,
    /// Has no meaning here: the thinking comes whole.
    pub summary: Option<Value>,
    /// Has no meaning here: the thinking comes with the answer.
    pub exclude: Option<Value>,
    /// Has no meaning here: only `max_tokens` limits the thinking.
    pub max_tokens: Option<Value>,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatAnswer {
    /// Its id, `chatcmpl-…`.
    pub id: String,
    /// `chat.completion`.
    pub object: String,
    /// When it began, in seconds since 1970.
    pub created: i64,
    /// The model, as the request names it.
    pub model: String,
    /// The version of slm.
    pub system_fingerprint: String,
    /// The choices, in order of their index.
    pub choices: Vec<ChatChoice>,
    /// Token counts.
    pub usage: Usage,
    /// Times of the first choice, if the request has `timings_per_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// One choice of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatChoice {
    /// Its index, from 0.
    pub index: u32,
    /// Its message.
    pub message: AnswerMessage,
    /// The logprobs of its tokens, if the request asks for them.
    pub logprobs: Option<ChoiceLogprobs>,
    /// `stop`, `length`, `tool_calls` or `function_call`.
    pub finish_reason: String,
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatChunk<'a> {
    /// Id of the answer, the same in all chunks.
    pub id: &'a str,
    /// `chat.completion.chunk`.
    pub object: &'static str,
    /// When the answer began, in seconds since 1970.
    pub created: i64,
    /// The model, as the request names it.
    pub model: &'a str,
    /// The version of slm.
    pub system_fingerprint: &'a str,
    /// The piece of a choice; none in the chunk with the token counts.
    pub choices: Vec<ChatChunkChoice>,
    /// Token counts, in the last chunk of a stream with `include_usage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Times of the choice, on its last chunk, if the request has `timings_per_token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// Progress of prefill, if the request has `return_progress`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_progress: Option<PromptProgress>,
}

/// A piece of a choice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct ChatChunkChoice {
    /// Index of the choice.
    pub index: u32,
    /// What is new.
    pub delta: ChatDelta,
    /// The logprobs of its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<ChoiceLogprobs>,
    /// Null until the last piece.
    pub finish_reason: Option<&'static str>,
}

/// What is new in a piece of a choice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct ChatDelta {
    /// `assistant`, in the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// More of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// More of the thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The same under the name that other clients read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// More of a tool call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<CallDelta>>,
    /// More of the call, if the request had `functions` in place of `tools`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionDelta>,
}
