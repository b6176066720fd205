//! Events of a streamed answer.

use serde::Serialize;
use utoipa::ToSchema;

use super::error::{Error, ErrorDetail};
use super::message::{Message, OutputBlock, StopReason, Usage};

/// An event of a stream; its `type` is also the name of the server-sent event.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = anthropic::StreamEvent)]
pub enum StreamEvent {
    /// The first event.
    MessageStart {
        /// The message without content; its usage has the counts of input.
        message: Message,
    },
    /// A sign of life.
    Ping,
    /// A block begins.
    ContentBlockStart {
        /// Index of the block, from 0.
        index: u32,
        /// The block without content.
        content_block: OutputBlock,
    },
    /// More of the open block.
    ContentBlockDelta {
        /// Index of the block.
        index: u32,
        /// What is added.
        delta: Delta,
    },
    /// The block is complete.
    ContentBlockStop {
        /// Index of the block.
        index: u32,
    },
    /// The answer ends.
    MessageDelta {
        /// How it ends.
        delta: End,
        /// Its token counts.
        usage: Usage,
    },
    /// The last event of an answer.
    MessageStop,
    /// The last event of an answer that failed.
    Error {
        /// The error.
        error: ErrorDetail,
        /// Id of the request.
        request_id: String,
    },
}

impl StreamEvent {
    /// The name of the server-sent event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::Ping => "ping",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
            Self::Error { .. } => "error",
        }
    }
}

impl From<Error> for StreamEvent {
    fn from(error: Error) -> Self {
        Self::Error {
            error: error.error,
            request_id: error.request_id,
        }
    }
}

/// What is added to a block.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Delta {
    /// Text.
    TextDelta {
        /// The piece.
        text: String,
    },
    /// Thinking.
    ThinkingDelta {
        /// The piece.
        thinking: String,
    },
    /// The signature of a thinking block.
    SignatureDelta {
        /// The signature.
        signature: String,
    },
    /// Arguments of a call. The pieces of a call join to a JSON object.
    InputJsonDelta {
        /// The piece.
        partial_json: String,
    },
}

/// How an answer ends.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct End {
    /// Why.
    pub stop_reason: StopReason,
    /// The stop text of the request that ended the answer.
    pub stop_sequence: Option<String>,
}
