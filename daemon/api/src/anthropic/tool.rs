//! Tools of a request.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A tool that the model may call.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = anthropic::Tool)]
pub struct Tool {
    /// Absent or `custom`. Tools of other types run on a server or are known to Anthropic's models only; they are left out.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Its name.
    pub name: String,
    /// Its description for the model.
    pub description: Option<String>,
    /// JSON Schema of its input; an empty object if it is absent.
    #[serde(default)]
    pub input_schema: Value,
    /// No meaning: every prompt is cached.
    pub cache_control: Option<Value>,
    /// No meaning: the input of every call follows the schema.
    pub strict: Option<bool>,
    /// No meaning: every tool is offered at once.
    pub defer_loading: Option<bool>,
    /// No meaning: every input is streamed as it is generated.
    pub eager_input_streaming: Option<bool>,
    /// No meaning: the model does not read examples.
    pub input_examples: Option<Value>,
    /// No meaning: only the model calls tools.
    pub allowed_callers: Option<Value>,
}

/// Whether the model may, must or must not call a tool.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct ToolChoice {
    /// `auto`, `any`, `tool` or `none`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The tool of `tool`.
    pub name: Option<String>,
    /// `true` allows one call only.
    pub disable_parallel_tool_use: Option<bool>,
}
