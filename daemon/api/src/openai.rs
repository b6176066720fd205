//! Bodies of OpenAI's API, with the fields that llama.cpp's server and Ollama add to it.
//!
//! Every field that is known is a field here. Its comment says what becomes of it: it works, it is refused, or it has no meaning.
//! `null` counts as absent.

mod chat;

mod content;
mod embedding;
mod error;
mod format;
mod message;
mod model;
pub mod responses;
mod shared;
mod tool;
mod usage;

pub use chat::{
    ChatAnswer, ChatChoice, ChatChunk, ChatChunkChoice, ChatDelta, ChatRequest, ReasoningOptions,
};
pub use content::{Content, ImageUrl, Part};
pub use embedding::{Embedding, EmbeddingList, EmbeddingRequest, EmbeddingUsage, Vector};
pub use error::{ErrorAnswer, ErrorFields};
pub use format::{JsonSchemaFormat, ResponseFormat};
pub use message::{AnswerMessage, ChatMessage, FunctionCall, ToolCall};
pub use model::{Model, ModelList};
pub use shared::StreamOptions;
pub use tool::{CallDelta, ChoiceLogprobs, FunctionDelta, TokenLogprob, TopLogprob};
pub use usage::{CompletionDetails, PromptDetails, PromptProgress, Timings, Usage};
