//! Requests: what the daemon asks of a runner.

use serde::{Deserialize, Serialize};

use crate::chat::Template;
use crate::embed::{Embed, Rerank};
use crate::generate::Generate;
use crate::host_cache::{ExportState, HostCacheSetup};
use crate::load::Load;

/// One request from the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the daemon, never reused on one connection.
    pub id: u64,
    /// What to do.
    pub call: Call,
}

/// What the daemon can ask of a runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// Load the model. Exactly once, first. Ends in [`Event::Loaded`](crate::Event::Loaded).
    Load(Load),
    /// Generate text from a prompt. Ends in [`Event::Done`](crate::Event::Done).
    Generate(Box<Generate>),
    /// Turn text into tokens. Ends in [`Event::Tokens`](crate::Event::Tokens), or in
    /// [`FailureKind::ContextOverflow`](crate::FailureKind::ContextOverflow) for a text that is far longer than the context.
    Tokenize(Tokenize),
    /// Turn tokens into text, at most [`MAX_CONTEXT`](crate::MAX_CONTEXT) of them. Ends in [`Event::Text`](crate::Event::Text).
    Detokenize(Detokenize),
    /// Render a conversation by the model's own chat template. Ends in [`Event::Prompt`](crate::Event::Prompt),
    /// or in [`FailureKind::ContextOverflow`](crate::FailureKind::ContextOverflow) for one that is far longer than the context.
    Template(Template),
    /// Turn texts into vectors. Ends in [`Event::Embeddings`](crate::Event::Embeddings).
    Embed(Embed),
    /// Score documents by their relevance to a query. Ends in [`Event::Scores`](crate::Event::Scores).
    Rerank(Rerank),
    /// Stop the call with this id within one step. It then ends in [`Event::Done`](crate::Event::Done) with
    /// [`StopReason::Cancelled`](crate::StopReason::Cancelled),
    /// and a [`Call::Embed`] or [`Call::Rerank`] in [`Event::Failed`](crate::Event::Failed).
    /// This call itself has no events. An unknown id is no error, because the end of that call may be on its way.
    Cancel {
        /// Id of the call to stop.
        target: u64,
    },
    /// Report usage. Ends in [`Event::Stats`](crate::Event::Stats).
    Stats,
    /// Turn on the host cache of KV states, and offer saved states. Without this call the runner keeps only what is in KV cells.
    /// At most once, and before [`Call::Load`]. Ends in [`Event::HostCacheReady`](crate::Event::HostCacheReady).
    HostCacheSetup(HostCacheSetup),
    /// Export the most valuable KV state of a finished sequence, and drop it. Ends in [`Event::State`](crate::Event::State).
    ExportState(ExportState),
    /// Read at most [`MAX_STATE_PART`](crate::MAX_STATE_PART) bytes of the state that was exported last. Ends in
    /// [`Event::StatePart`](crate::Event::StatePart).
    StatePart {
        /// Offset of the first byte, at most the size of the state.
        offset: u64,
    },
    /// Exit. The only answer is the closed socket.
    Shutdown,
}

/// Text to turn into tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokenize {
    /// The text.
    pub text: String,
    /// Put the beginning-of-sequence token first, if the model uses one.
    pub add_special: bool,
    /// Parse control tokens in the text.
    pub parse_special: bool,
    /// But not in these ranges; see [`Rendered::literal`](crate::Rendered::literal).
    #[serde(default)]
    pub literal: Vec<(u32, u32)>,
}

/// Tokens to turn into text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detokenize {
    /// The tokens.
    pub tokens: Vec<i32>,
}
