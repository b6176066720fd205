//! Items that a model generates.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A constant that is always the value of its field.
macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        pub enum $name {
            /// The only value.
            #[default]
            #[serde(rename = $text)]
            Value,
        }
    )*};
}

constants! {
    /// Type of a message.
    MessageType = "message";
    /// Type of a function call.
    FunctionCallType = "function_call";
    /// Type of reasoning.
    ReasoningType = "reasoning";
    /// Type of a text.
    OutputTextType = "output_text";
    /// Type of a text of reasoning.
    ReasoningTextType = "reasoning_text";
    /// Type of a summary of reasoning.
    SummaryTextType = "summary_text";
}

/// An item of a response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum OutputItem {
    /// The thinking of the model.
    Reasoning(ReasoningItem),
    /// A text of the model.
    Message(MessageItem),
    /// A function call of the model.
    FunctionCall(FunctionCallItem),
}

/// Whether an item is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// The item grows.
    InProgress,
    /// The item is complete.
    Completed,
    /// The item was cut off.
    Incomplete,
}

/// A message of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MessageItem {
    /// Always `message`.
    #[serde(rename = "type")]
    pub kind: MessageType,
    /// Its id, `msg_…`.
    pub id: String,
    /// Whether it is complete.
    pub status: ItemStatus,
    /// Always `assistant`.
    pub role: String,
    /// One text; empty while the item begins.
    pub content: Vec<OutputText>,
}

/// A text of a message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutputText {
    /// Always `output_text`.
    #[serde(rename = "type")]
    pub kind: OutputTextType,
    /// The text.
    pub text: String,
    /// Always empty.
    pub annotations: Vec<serde_json::Value>,
    /// Logprobs of the tokens; empty unless `include` names them.
    pub logprobs: Vec<LogprobEntry>,
}

/// A token with its logprob and the top logprobs in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogprobEntry {
    /// The token, its logprob and its bytes.
    #[serde(flatten)]
    pub chosen: TokenEntry,
    /// The most likely tokens.
    pub top_logprobs: Vec<TokenEntry>,
}

/// A token with its logprob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenEntry {
    /// The text of the token; bytes that are not UTF-8 are replaced.
    pub token: String,
    /// Its logprob.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A function call of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunctionCallItem {
    /// Always `function_call`.
    #[serde(rename = "type")]
    pub kind: FunctionCallType,
    /// Its id, `fc_…`.
    pub id: String,
    /// The id by which a `function_call_output` names the call.
    pub call_id: String,
    /// Name of the function.
    pub name: String,
    /// Its namespace, for a function of a `namespace` tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The arguments, a JSON object as text.
    pub arguments: String,
    /// Whether it is complete.
    pub status: ItemStatus,
}

/// The thinking of the model: as `content`, or as `summary` if the request asks for a summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReasoningItem {
    /// Always `reasoning`.
    #[serde(rename = "type")]
    pub kind: ReasoningType,
    /// Its id, `rs_…`.
    pub id: String,
    /// The thinking, if the request asks for a summary.
    pub summary: Vec<SummaryText>,
    /// The thinking, if the request asks for no summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<ReasoningText>>,
    /// The thinking in base64, if `include` names `reasoning.encrypted_content`. It is not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted_content: Option<String>,
    /// Whether it is complete.
    pub status: ItemStatus,
}

/// A text of reasoning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasoningText {
    /// Always `reasoning_text`.
    #[serde(rename = "type")]
    pub kind: ReasoningTextType,
    /// The text.
    pub text: String,
}

/// A summary of reasoning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SummaryText {
    /// Always `summary_text`.
    #[serde(rename = "type")]
    pub kind: SummaryTextType,
    /// The text.
    pub text: String,
}
