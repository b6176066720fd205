//! Replies: what a runner reports about a request.

use serde::{Deserialize, Serialize};

use crate::answer::{Delta, Done};
use crate::bytes::Bytes;
use crate::embed::{Embeddings, Scores};
use crate::generate::Rendered;
use crate::host_cache::{State, StateOutcome};

/// One event of the answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The id of the request.
    pub id: u64,
    /// The event.
    pub event: Event,
}

/// What a runner reports about a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// Progress of a load. Not terminal.
    Loading {
        /// Share that is loaded, 0 to 1.
        fraction: f32,
    },
    /// The request has a slot, and its prefill begins. Not terminal; sent once, before any [`Event::Prefill`], by
    /// [`Call::Generate`](crate::Call::Generate).
    Started {
        /// Tokens of the prompt, after truncation.
        prompt_tokens: u32,
        /// Of these, tokens that the KV cache has already.
        cached_tokens: u32,
    },
    /// Progress of prefill, in tokens (in inputs for [`Call::Embed`](crate::Call::Embed) and
    /// [`Call::Rerank`](crate::Call::Rerank)). Not terminal.
    Prefill {
        /// Computed so far.
        done: u32,
        /// All of them.
        total: u32,
    },
    /// Images of the prompt are being encoded. Not terminal; the sign of life before the first [`Event::Prefill`].
    EncodingImages {
        /// Grows with the work that is done.
        steps: u64,
    },
    /// More of the answer, in whole UTF-8 characters, without stop texts and without the markup of reasoning and tool calls.
    /// Not terminal.
    Delta(Delta),
    /// The model is ready. Terminal for [`Call::Load`](crate::Call::Load).
    Loaded(Loaded),
    /// The end of the answer. Terminal for [`Call::Generate`](crate::Call::Generate).
    Done(Box<Done>),
    /// Terminal for [`Call::Tokenize`](crate::Call::Tokenize).
    Tokens(Vec<i32>),
    /// Terminal for [`Call::Detokenize`](crate::Call::Detokenize).
    Text(String),
    /// The rendered prompt. Terminal for [`Call::Template`](crate::Call::Template).
    Prompt(Rendered),
    /// Terminal for [`Call::Embed`](crate::Call::Embed).
    Embeddings(Embeddings),
    /// Terminal for [`Call::Rerank`](crate::Call::Rerank).
    Scores(Scores),
    /// Terminal for [`Call::Stats`](crate::Call::Stats).
    Stats(Stats),
    /// Terminal for [`Call::HostCacheSetup`](crate::Call::HostCacheSetup).
    HostCacheReady {
        /// Saved states with a valid head.
        states: u32,
    },
    /// Terminal for [`Call::ExportState`](crate::Call::ExportState); `None` when no state is left that is worth an export.
    State(Option<Box<State>>),
    /// Terminal for [`Call::StatePart`](crate::Call::StatePart).
    StatePart(Bytes),
    /// What the runner did with a saved state. Belongs to no request: its id is 0. Not terminal.
    StateOutcome {
        /// Index in [`HostCacheSetup::files`](crate::HostCacheSetup::files), below [`MAX_STATES`](crate::MAX_STATES).
        state: u32,
        /// What it did.
        outcome: StateOutcome,
    },
    /// The call failed. Terminal for every call.
    Failed(Failure),
}

impl Event {
    /// Whether this event is the last of its request.
    pub fn is_terminal(&self) -> bool {
        !matches!(
            self,
            Self::Loading { .. }
                | Self::Started { .. }
                | Self::Prefill { .. }
                | Self::EncodingImages { .. }
                | Self::Delta(_)
                | Self::StateOutcome { .. }
        )
    }
}

/// A loaded model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// Cells of the KV cache.
    pub context: u32,
    /// Context length that the model was trained with.
    pub trained_context: u32,
    /// Size of the vocabulary.
    pub vocabulary: u32,
    /// Whether it has a chat template, its own or [`Load::chat_template`](crate::Load::chat_template).
    pub has_chat_template: bool,
    /// Whether prompts may have images.
    #[serde(default)]
    pub sees_images: bool,
    /// Adapters of the load that do not fit the weights; requests cannot name them.
    #[serde(default)]
    pub refused_adapters: Vec<RefusedAdapter>,
    /// Resident bytes of the process after loading.
    pub resident_bytes: u64,
    /// Bytes on accelerators.
    pub device_bytes: u64,
    /// The sizes of the buffers of the model and its context, by device; empty where the engine cannot tell.
    #[serde(default)]
    pub memory: Vec<MemoryPart>,
    /// The device, for people: `CPU (zen4)`, `NVIDIA H100`.
    pub device: String,
    /// Time since the call.
    pub load_ns: u64,
}

/// An adapter that was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedAdapter {
    /// [`Adapter::digest`](crate::Adapter::digest).
    pub digest: String,
    /// Why, for people.
    pub reason: String,
}

/// The bytes of one part of a loaded model on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPart {
    /// What it holds.
    pub kind: MemoryKind,
    /// The device as ggml names it, such as `CPU` or `CUDA0`.
    pub device: String,
    /// Its size.
    pub bytes: u64,
}

/// What a part of the memory of a loaded model holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// Weights that are read from the mapped file.
    MappedWeights,
    /// Weights that were copied, to a device or into another layout.
    Weights,
    /// Keys, values and recurrent states.
    KvCache,
    /// Results of operations.
    Compute,
    /// The draft model with its context.
    Draft,
    /// LoRA adapters.
    Adapters,
}

/// Usage of a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Active sequences.
    pub active: u32,
    /// Requests that wait for a slot.
    pub waiting: u32,
    /// KV cells in use.
    pub cells_used: u32,
    /// Resident bytes of the process.
    pub resident_bytes: u64,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind, for programs.
    pub kind: FailureKind,
    /// Its message, for people.
    pub message: String,
    /// With [`FailureKind::ContextOverflow`]: how long the prompt is, and how long it may be.
    #[serde(default)]
    pub length: Option<PromptLength>,
}

impl Failure {
    /// A failure of this kind with this message.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            length: None,
        }
    }
}

/// The length of a prompt that does not fit the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptLength {
    /// Tokens of the prompt; `None` if it was too long to be tokenized.
    pub tokens: Option<u32>,
    /// Cells of the context.
    pub context: u32,
}

/// Kinds of failure, by what the daemon can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The request is wrong; the same request fails again.
    Invalid,
    /// The prompt does not fit the context.
    ContextOverflow,
    /// The model cannot be loaded by this engine.
    Unsupported,
    /// Not enough memory; smaller settings may work.
    OutOfMemory,
    /// Too much is queued; a later try may work.
    Busy,
    /// The answer does not parse as the form of the model's chat template; another try may work.
    Unreadable,
    /// The engine failed; a fresh runner may work.
    Internal,
}
