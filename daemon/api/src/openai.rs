//! Bodies of OpenAI's API, with the fields that llama.cpp's server and Ollama add to it.
//!
//! Every field that is known is a field here. Its comment says what becomes of it: it works, it is refused, or it has no meaning.
//! `null` counts as absent.

mod chat;
mod completion;
mod content;
mod embedding;
mod error;
mod format;
mod input;
mod message;
mod model;
pub mod responses;
mod shared;
mod tool;
mod usage;

pub use chat::{
    ChatAnswer, ChatChoice, ChatChunk, ChatChunkChoice, ChatDelta, ChatRequest, ReasoningOptions,
};
pub use completion::{CompletionAnswer, CompletionChoice, CompletionLogprobs, CompletionRequest};
pub use content::{Content, ImageUrl, Part};
pub use embedding::{EmbeddingItem, EmbeddingVector, EmbeddingsAnswer, EmbeddingsRequest};
pub use error::{ErrorAnswer, ErrorFields};
pub use format::{JsonSchemaFormat, ResponseFormat};
pub use input::Inputs;
pub use message::{AnswerMessage, ChatMessage, FunctionCall, ToolCall};
pub use model::{Model, ModelMeta, ModelsAnswer};
pub use shared::StreamOptions;
pub use tool::{CallDelta, ChoiceLogprobs, FunctionDelta, TokenLogprob, TopLogprob};
pub use usage::{CompletionDetails, PromptDetails, PromptProgress, Timings, Usage};
