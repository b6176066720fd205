//! A request for text: the prompt, limits and constraints of its answer.

use serde::{Deserialize, Serialize};

use crate::chat::Template;
use crate::images::Images;
use crate::load::AdapterScale;
use crate::sampling::Sampling;

/// Most tokens of one draft. A request for more gets this many.
pub const MAX_DRAFT: u32 = 32;

/// Most top logprobs per token.
pub const MAX_TOP_LOGPROBS: u32 = 20;

/// Longest schema, grammar or pattern of a constraint, in bytes.
pub const MAX_CONSTRAINT_BYTES: usize = 64 * 1024;

/// Longest [`Constraint::after`], in bytes.
pub const MAX_MARKER_BYTES: usize = 256;

/// A prompt, and how to continue it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// The prompt.
    pub prompt: Prompt,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate; `None` until the context is full.
    pub max_tokens: Option<u32>,
    /// Most cells of prompt and answer together, [`MIN_CONTEXT`](crate::MIN_CONTEXT) or more. `None` and larger values mean
    /// [`Loaded::context`](crate::Loaded::context).
    #[serde(default)]
    pub context: Option<u32>,
    /// The same request gives the same tokens, whatever ran before or runs beside it: it is computed alone, from an empty cache,
    /// in batches that are always cut the same way, and without drafts. Other requests wait meanwhile.
    /// This holds for the same build on the same machine, with the same settings of the load.
    #[serde(default)]
    pub deterministic: bool,
    /// Stop texts, which are not part of the answer. At most 64, none empty.
    pub stop: Vec<String>,
    /// What happens to a prompt that does not fit the context.
    pub overflow: Overflow,
    /// Scales of loaded adapters for this request, at most [`MAX_ADAPTERS`](crate::MAX_ADAPTERS), none twice. Every other adapter
    /// has the scale 0.
    #[serde(default)]
    pub adapters: Vec<AdapterScale>,
    /// How to parse the answer to a prompt of text or tokens: as an answer to this conversation, in the form of the model's chat
    /// template. `None` takes it as plain text. `None` also with [`Prompt::Chat`], which is such a conversation itself.
    #[serde(default)]
    pub read_as: Option<Box<Template>>,
    /// A constraint on the answer; `None` for any text.
    pub constraint: Option<Constraint>,
    /// Most tokens per draft, up to [`MAX_DRAFT`]; 0 for no drafts, `None` lets the engine choose.
    #[serde(default)]
    pub draft: Option<u32>,
    /// Report the logprob of each token, and this many top logprobs, 0 to [`MAX_TOP_LOGPROBS`].
    pub logprobs: Option<u32>,
    /// Images of a prompt that is a text or a conversation. They count as the tokens that they are encoded to.
    /// A prompt with images is never truncated: one that does not fit is refused, also with [`Overflow::Truncate`].
    #[serde(default)]
    pub images: Option<Images>,
}

impl Generate {
    /// A prompt with the default sampler, without limits and without anything optional. A prompt that does not fit is refused.
    pub fn new(prompt: Prompt) -> Self {
        Self {
            prompt,
            sampling: Sampling::default(),
            max_tokens: None,
            context: None,
            deterministic: false,
            stop: Vec::new(),
            overflow: Overflow::Refuse,
            adapters: Vec::new(),
            read_as: None,
            constraint: None,
            draft: None,
            logprobs: None,
            images: None,
        }
    }
}

/// A constraint on an answer.
///
/// Tokens that cannot lead to a valid answer are masked, and the answer ends when no token can follow.
/// An answer that ends at `max_tokens` or a stop text is a prefix of a valid one.
/// A constraint that cannot be enforced is refused as [`FailureKind::Invalid`](crate::FailureKind::Invalid).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// The form of the answer.
    pub shape: Shape,
    /// The constraint holds after the first occurrence of this text, such as the end marker of reasoning, of 1 to
    /// [`MAX_MARKER_BYTES`] bytes; control tokens count as they are written. `None` for a constraint from the start.
    pub after: Option<String>,
}

/// The form of a constrained answer; its text has at most [`MAX_CONSTRAINT_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// A JSON object.
    Json,
    /// JSON that this JSON Schema allows. The schema is an object.
    Schema(String),
    /// Text that the rule `root` of this GBNF grammar produces.
    Grammar(String),
    /// Text that this regular expression matches as a whole.
    Regex(String),
}

/// A prompt in one of its forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Prompt {
    /// Rendered text. A leading beginning-of-sequence token is added where the model wants one, and never twice.
    Text {
        /// The text.
        text: String,
        /// Parse control tokens such as `<|im_end|>` in the text.
        special: bool,
    },
    /// Tokens as they are; out-of-range ids are refused.
    Tokens(Vec<i32>),
    /// A conversation that the daemon rendered. Control tokens are parsed outside of its literal ranges.
    Rendered(Rendered),
    /// A conversation for the model's chat template. Control tokens in its messages are plain text, unless the template changes
    /// the message.
    Chat(Template),
}

/// A rendered conversation: text of the template with control tokens, and text of users and tools without.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// The whole text.
    pub text: String,
    /// Byte ranges (start, end) in which control tokens are plain text; in order, without overlap.
    #[serde(default)]
    pub literal: Vec<(u32, u32)>,
}

impl From<String> for Rendered {
    fn from(text: String) -> Self {
        Self {
            text,
            literal: Vec::new(),
        }
    }
}

/// What happens to a prompt that does not fit the context. A full context always ends the answer with
/// [`StopReason::Length`](crate::StopReason::Length).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overflow {
    /// It is refused.
    Refuse,
    /// It loses tokens after the first `keep`, and [`Done::truncated`](crate::Done::truncated) says how many.
    Truncate {
        /// Tokens at the start that stay.
        keep: u32,
    },
}
