//! A conversation for a chat template, and the tools that the model may call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most tools of one conversation.
pub const MAX_TOOLS: usize = 256;

/// Most tool calls in one message.
pub const MAX_TOOL_CALLS: usize = 256;

/// Longest tool name in bytes. It consists of ASCII letters, digits and `_ - . : /`.
pub const MAX_TOOL_NAME: usize = 128;

/// Longest JSON Schema of a tool's parameters, in bytes.
pub const MAX_TOOL_SCHEMA: usize = 256 * 1024;

/// Deepest nesting of the JSON of a tool's parameters or a call's arguments.
pub const MAX_JSON_DEPTH: usize = 64;

/// A conversation for the chat template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// The messages, first to last.
    pub messages: Vec<Message>,
    /// Ends the prompt with the start of the assistant's message.
    pub add_generation_prompt: bool,
    /// Turns reasoning on or off, where the template can; `None` leaves it to the template.
    pub thinking: Option<bool>,
    /// Tools that the model may call; at most [`MAX_TOOLS`], no name twice.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// Whether the model may, must or must not call them.
    #[serde(default)]
    pub tool_choice: ToolChoice,
    /// Whether one answer may hold several calls; `None` leaves it to the template.
    #[serde(default)]
    pub parallel_tool_calls: Option<bool>,
    /// Further variables of the template, by name. The engine refuses names that it does not know.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
}

/// One message of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text.
    pub content: String,
    /// The reasoning of the assistant; empty without.
    #[serde(default)]
    pub reasoning: String,
    /// Tool calls of the assistant; at most [`MAX_TOOL_CALLS`].
    #[serde(default)]
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool's result: the id of the call; empty if unknown.
    #[serde(default)]
    pub tool_call_id: String,
    /// Of a tool's result: the tool; empty if unknown.
    #[serde(default)]
    pub tool_name: String,
}

/// A function that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name, see [`MAX_TOOL_NAME`].
    pub name: String,
    /// Its description for the model.
    pub description: String,
    /// JSON Schema of its parameters, an object; at most [`MAX_TOOL_SCHEMA`] bytes and [`MAX_JSON_DEPTH`] levels.
    pub parameters: String,
}

/// A call that the model made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Its id; empty without one.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON object of the arguments; at most [`MAX_JSON_DEPTH`] levels.
    pub arguments: String,
}

/// Whether the model calls tools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tool, although the prompt lists them.
    None,
    /// At least one.
    Required,
    /// This one.
    One(String),
}

/// The value of a template variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Variable {
    /// True or false.
    Flag(bool),
    /// A number.
    Number(i64),
    /// A text of at most 256 bytes.
    Text(String),
}
