//! Bodies of Anthropic's API: `/v1/messages`, `/v1/messages/count_tokens` and `/v1/models`.

mod content;
mod error;
mod event;
mod message;
mod model;
mod request;
mod tool;

pub use content::{Block, Blocks, InputMessage, Source};
pub use error::{Error, ErrorDetail};
pub use event::{Delta, End, StreamEvent};
pub use message::{CacheCreation, Message, OutputBlock, StopReason, TokenCount, Usage};
pub use model::{Model, Models};
pub use request::{CountTokensRequest, MessagesRequest, OutputConfig, OutputFormat, Thinking};
pub use tool::{Tool, ToolChoice};
