//! Messages of a conversation.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Content, Part};

/// One message of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// `system`, `developer` (the same), `user`, `assistant`, `tool` or `function` (the older form of `tool`).
    #[serde(default)]
    pub role: Option<String>,
    /// A text, or a list of parts, which are joined in order.
    #[serde(default)]
    pub content: Option<Content>,
    /// With `tool` and `function`: the name of the function, if `tool_call_id` is not that of an earlier call. In other messages it has
    /// no meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Calls of the assistant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// Id of the call whose result this is; required in a message of a tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// A call of the assistant, in the older form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionCall>,
    /// Thinking of the assistant before this message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The same under another name; counts if `reasoning_content` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The text of a refusal, which follows the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// An earlier spoken answer; refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Value>,
    /// Has no meaning here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Value>,
    /// Has no meaning here, because every prompt is cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<Value>,
    /// Has no meaning here; some clients send the thinking of an answer back in this form too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_details: Option<Value>,
}

/// A tool call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = openai::ToolCall)]
pub struct ToolCall {
    /// Index of the call; has no meaning in a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// Id of the call; the message with the result names it.
    #[serde(default)]
    pub id: Option<String>,
    /// `function`, the only type.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// The function and its arguments.
    #[serde(default)]
    pub function: FunctionCall,
    /// A call of a custom tool, in a request: `name`, and `input`, which becomes the argument `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
    /// Has no meaning here; Google's clients send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<Value>,
}

/// A function and its arguments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = openai::FunctionCall)]
pub struct FunctionCall {
    /// Name of the function.
    #[serde(default)]
    pub name: String,
    /// Namespace of the function, if the tool is in one (slm).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// JSON text of the arguments. In a request, an object is accepted too.
    #[serde(default)]
    pub arguments: Value,
}

/// The message of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnswerMessage {
    /// `assistant`.
    pub role: String,
    /// The text; null if there are calls and no text.
    pub content: Option<String>,
    /// Always null: slm does not filter.
    pub refusal: Option<String>,
    /// The model's thinking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The same under the name that other clients read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Tool calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// The call, if the request had `functions` in place of `tools`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionCall>,
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Part>> for Content {
    fn from(parts: Vec<Part>) -> Self {
        Self::Parts(parts)
    }
}
