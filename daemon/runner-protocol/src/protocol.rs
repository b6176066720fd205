//! The messages between daemon and runner.
//!
//! The daemon sends [`Request`]s, each under an id of its choice.
//! The runner answers each with a stream of [`Reply`]s under the same id. The stream ends in **exactly one** terminal [`Event`], see
//! [`Event::is_terminal`].
//! Requests run side by side; replies to different ids interleave.
//! The first frame on a new connection is the runner's [`Hello`]; the daemon kills a runner of another version.
//!
//! The daemon builds every field from checked values and passes nothing through that it has not read, image files aside.
//! Times are in nanoseconds of the runner's monotonic clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::images::{
    Image, Images, MAX_IMAGE_BYTES, MAX_IMAGES, MAX_IMAGES_BYTES, MAX_MARK_BYTES,
};

/// The version of this protocol. Daemon and runner come from one build, so both must have the same.
pub const VERSION: u32 = 2;

/// The command-line option with which a runner starts without its sandbox.
pub const NO_SANDBOX: &str = "--no-sandbox";

/// Largest context, in cells. llama.cpp has no such limit; this one catches typing errors.
pub const MAX_CONTEXT: u32 = 1 << 20;

/// Smallest context, in cells.
pub const MIN_CONTEXT: u32 = 4;

/// Most parallel sequences; llama.cpp's own limit.
pub const MAX_SEQUENCES: u32 = 256;

/// Most tokens in one batch.
pub const MAX_BATCH: u32 = 65_536;

/// Most compute threads; llama.cpp's own limit.
pub const MAX_THREADS: u32 = 512;

/// Most LoRA adapters of one model.
pub const MAX_ADAPTERS: usize = 16;

/// Most tokens of one draft. A request for more gets this many.
pub const MAX_DRAFT: u32 = 32;

/// Most top logprobs per token.
pub const MAX_TOP_LOGPROBS: u32 = 20;

/// Most logit biases of one request.
pub const MAX_BIASES: usize = 1024;

/// Most sequence breakers of the DRY penalty.
pub const MAX_BREAKERS: usize = 64;

/// Longest sequence breaker, in bytes.
pub const MAX_BREAKER_BYTES: usize = 1024;

/// Longest schema, grammar or pattern of a constraint, in bytes.
pub const MAX_CONSTRAINT_BYTES: usize = 64 * 1024;

/// Longest [`Constraint::after`], in bytes.
pub const MAX_MARKER_BYTES: usize = 256;
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

/// Most saved states that a runner gets.
pub const MAX_STATES: usize = 64;

/// Most bytes of a state in one reply.
pub const MAX_STATE_PART: usize = 4 * 1024 * 1024;

/// Most inputs of one [`Embed`] and documents of one [`Rerank`]. The vectors of the widest model then fit a frame.
pub const MAX_INPUTS: usize = 256;

/// The first frame of a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Equal to [`VERSION`], or the daemon kills the runner.
    pub version: u32,
    /// Engine and its build, for people: `llama.cpp 0.6.0` or `mock`.
    pub engine: String,
    /// Its sandbox. The runner sends this before it reads a byte of a model, so the model cannot forge it.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// Whether slm's kernels compute on the CPU.
    #[serde(default)]
    pub kernels: Kernels,
}

/// Whether slm's kernels compute on the CPU.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Kernels {
    /// They do, as far as the CPU computes.
    On,
    /// They are switched off.
    #[default]
    Off,
    /// They cannot be used, for this reason.
    Unavailable(String),
}

impl Kernels {
    /// The argument of a runner's program that switches them off.
    pub const OFF: &str = "--kernels=off";

    /// The state as one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// Why they cannot be used; empty where they can.
    pub fn reason(&self) -> &str {
        match self {
            Self::On | Self::Off => "",
            Self::Unavailable(reason) => reason,
        }
    }
}

/// The sandbox of a runner, as its own attempts to break out have found it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sandbox {
    /// The level that these attempts prove.
    pub level: SandboxLevel,
    /// What keeps it from the highest level that its devices permit, in one line for people; empty at that level and at `off`.
    pub lacks: String,
}

/// Levels of the sandbox. Each has everything that the level before it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum SandboxLevel {
    /// A separate process with its own environment and open files, which ends with the daemon.
    #[default]
    Off,
    /// Also limits on files and memory, and no privileges.
    Limits,
    /// Also one of the two: only the files that it was passed, or no programs, sockets and signals.
    Partial,
    /// Both of them. The highest level with an accelerator.
    Full,
    /// Also only the system calls that inference needs, and an empty network namespace.
    Strict,
}

impl SandboxLevel {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Limits => "limits",
            Self::Partial => "partial",
            Self::Full => "full",
            Self::Strict => "strict",
        }
    }
}

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
    /// Load the model. Exactly once, first. Ends in [`Event::Loaded`].
    Load(Load),
    /// Generate text from a prompt. Ends in [`Event::Done`].
    Generate(Box<Generate>),
    /// Turn text into tokens. Ends in [`Event::Tokens`], or in [`FailureKind::ContextOverflow`] for a text that is far longer than the context.
    Tokenize(Tokenize),
    /// Turn tokens into text, at most [`MAX_CONTEXT`] of them. Ends in [`Event::Text`].
    Detokenize(Detokenize),
    /// Render a conversation by the model's own chat template. Ends in [`Event::Prompt`],
    /// or in [`FailureKind::ContextOverflow`] for one that is far longer than the context.
    Template(Template),
    /// Turn texts into vectors. Ends in [`Event::Embeddings`].
    Embed(Embed),
    /// Score documents by their relevance to a query. Ends in [`Event::Scores`].
    Rerank(Rerank),
    /// Stop the call with this id within one step. It then ends in [`Event::Done`] with [`StopReason::Cancelled`],
    /// and a [`Call::Embed`] or [`Call::Rerank`] in [`Event::Failed`].
    /// This call itself has no events. An unknown id is no error, because the end of that call may be on its way.
    Cancel {
        /// Id of the call to stop.
        target: u64,
    },
    /// Report usage. Ends in [`Event::Stats`].
    Stats,
    /// Turn on the host cache of KV states, and offer saved states. Without this call the runner keeps only what is in KV cells.
    /// At most once, and before [`Call::Load`]. Ends in [`Event::Recalled`].
    Recall(Recall),
    /// Export the most valuable KV state of a finished sequence, and drop it. Ends in [`Event::State`].
    HandOut(HandOut),
    /// Read at most [`MAX_STATE_PART`] bytes of the state that was exported last. Ends in [`Event::StatePart`].
    StatePart {
        /// Offset of the first byte, at most the size of the state.
        offset: u64,
    },
    /// Exit. The only answer is the closed socket.
    Shutdown,
}

/// What to load, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Inherited read-only descriptor of the GGUF file.
    pub weights_fd: i32,
    /// Inherited read-only descriptors of the other files of a split model, in the order of their parts.
    #[serde(default)]
    pub shard_fds: Vec<i32>,
    /// Inherited descriptors of LoRA adapters with their scales, at most [`MAX_ADAPTERS`].
    pub adapters: Vec<Adapter>,
    /// Most parallel sequences, 1 to [`MAX_SEQUENCES`].
    pub sequences: u32,
    /// Context, batch, threads and devices.
    pub settings: LoadSettings,
    /// Chat template to use instead of the model's own (Jinja source), if any.
    pub chat_template: Option<String>,
    /// Inherited read-only descriptor of a draft model with the same vocabulary, if any. Its KV cache has as many cells.
    #[serde(default)]
    pub draft_fd: Option<i32>,
    /// Whether tokens are drafted.
    #[serde(default)]
    pub speculation: Speculation,
    /// The image encoder; `None` for a model that reads text only.
    #[serde(default)]
    pub projector: Option<Projector>,
}

/// The settings of a load that a request or a Modelfile can choose. They hold for as long as the model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSettings {
    /// Cells of the KV cache, shared by all sequences; [`MIN_CONTEXT`] to [`MAX_CONTEXT`].
    pub context: u32,
    /// Most tokens in one batch, 1 to [`MAX_BATCH`], and no fewer than there are sequences.
    pub batch: u32,
    /// CPU threads, at most [`MAX_THREADS`]; 0 lets the engine choose.
    pub threads: u32,
    /// Layers on a GPU; −1 for as many as fit, 0 for none.
    pub gpu_layers: i32,
    /// The GPU of a model that uses one.
    pub main_gpu: i32,
    /// Map the weights instead of reading them.
    pub mmap: bool,
}

/// Whether tokens are drafted. It changes how fast tokens come, and not which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speculation {
    /// While drafts are measured to be faster.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Whenever a draft is possible, also where it is slower; for measurements and tests.
    Always,
}

/// The budget of a runner's host cache, and the states that an earlier runner saved.
///
/// A *state* is the KV cache of one sequence as bytes that only the same engine reads, for the same model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// Names weights and adapters: equal for equal ones only. 1 to [`MAX_MODEL_KEY`](crate::state::MAX_MODEL_KEY) bytes.
    pub model: String,
    /// Size of the host cache in bytes; `None` lets the engine choose, 0 turns it off.
    pub memory: Option<u64>,
    /// Inherited read-only descriptors of saved states (see [`crate::state`]), the latest used first; at most [`MAX_STATES`].
    pub files: Vec<i32>,
}

/// Which states are worth an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOut {
    /// Least tokens of a state, and least tokens that it has beyond a saved state with the same prefix.
    pub min_tokens: u32,
    /// Most bytes of a state.
    pub max_bytes: u64,
}

/// An exported state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its model, build and tokens.
    pub head: crate::state::Head,
    /// Saved states that it replaces, because their tokens are a prefix of its own; indices in [`Recall::files`].
    pub instead_of: Vec<u32>,
}

/// What a runner did with a saved state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// A sequence continued from it.
    Used,
    /// It is damaged, or from another build or model.
    Refused,
}

/// Bytes, encoded in a frame as they are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // They may hold a user's text or image.
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }

        deserializer.deserialize_byte_buf(Visitor)
    }
}

/// An image encoder (multimodal projector).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Projector {
    /// Inherited read-only descriptor of its GGUF file.
    pub fd: i32,
    /// Digest of that file in hex, because two projectors encode one image differently.
    pub digest: String,
}

/// One LoRA adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// Inherited read-only descriptor.
    pub fd: i32,
    /// Its scale for a request that gives none; usually 1.
    pub scale: f32,
}

/// A prompt, and how to continue it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// The prompt.
    pub prompt: Prompt,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate; `None` until the context is full.
    pub max_tokens: Option<u32>,
    /// Most cells of prompt and answer together, [`MIN_CONTEXT`] or more. `None` and larger values mean [`Loaded::context`].
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
    /// Scales of the adapters for this request, in the order of [`Load::adapters`]; 0 turns one off. `None` takes the scales given there.
    pub adapter_scales: Option<Vec<f32>>,
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

/// A constraint on an answer.
///
/// Tokens that cannot lead to a valid answer are masked, and the answer ends when no token can follow.
/// An answer that ends at `max_tokens` or a stop text is a prefix of a valid one.
/// A constraint that cannot be enforced is refused as [`FailureKind::Invalid`].
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

/// What happens to a prompt that does not fit the context. A full context always ends the answer with [`StopReason::Length`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overflow {
    /// It is refused.
    Refuse,
    /// It loses tokens after the first `keep`, and [`Done::truncated`] says how many.
    Truncate {
        /// Tokens at the start that stay.
        keep: u32,
    },
}

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

/// Parameters of the sampler. Units and defaults are those of the Modelfile's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Seed of the random numbers; `None` draws one. [`Done::seed`] reports it. Seeds above 2³²−1 are mixed down to 32 bits.
    pub seed: Option<u64>,
    /// 0 is greedy.
    pub temperature: f32,
    /// Keep the k likeliest; 0 keeps all.
    pub top_k: u32,
    /// Keep the likeliest up to this probability; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens with at least this share of the top probability; 0 keeps all.
    pub min_p: f32,
    /// Locally typical sampling; 1 is off.
    pub typical_p: f32,
    /// Window of the penalties in tokens; 0 for none, −1 for the context.
    pub repeat_last_n: i32,
    /// 1 is off.
    pub repeat_penalty: f32,
    /// 0 is off.
    pub presence_penalty: f32,
    /// 0 is off.
    pub frequency_penalty: f32,
    /// Keep logits within this many standard deviations of the top one; 0 keeps all.
    pub top_n_sigma: f32,
    /// Probability that XTC removes all tokens above the threshold but the least likely; 0 is off.
    pub xtc_probability: f32,
    /// Threshold of XTC; above 0.5 is off.
    pub xtc_threshold: f32,
    /// Range of the dynamic temperature, which grows with the entropy; 0 is off.
    pub dynatemp_range: f32,
    /// Exponent from entropy to temperature; 1 is linear.
    pub dynatemp_exponent: f32,
    /// DRY penalty.
    pub dry: Option<Dry>,
    /// Mirostat sampling, in place of the other cuts.
    pub mirostat: Option<Mirostat>,
    /// Adaptive-p sampling.
    pub adaptive: Option<Adaptive>,
    /// Logit biases, at most [`MAX_BIASES`].
    pub logit_bias: Vec<Bias>,
}

/// DRY: penalty of a token that extends a repetition of earlier tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dry {
    /// Penalty of the shortest repetition that is not allowed; 0 is off.
    pub multiplier: f32,
    /// Factor of the penalty for each further token; at least 1.
    pub base: f32,
    /// Longest repetition without a penalty, in tokens.
    pub allowed_length: u32,
    /// Window in tokens; 0 for none, −1 for the context.
    pub last_n: i32,
    /// Sequence breakers, at most [`MAX_BREAKERS`], each of 1 to [`MAX_BREAKER_BYTES`] bytes.
    pub breakers: Vec<String>,
}

/// Mirostat sampling: keeps the surprise of the tokens level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mirostat {
    /// 1 or 2.
    pub version: u8,
    /// Target surprise in bits.
    pub tau: f32,
    /// Learning rate, 0 to 1.
    pub eta: f32,
}

/// Adaptive-p sampling: keeps the probability of the chosen tokens near a target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adaptive {
    /// Target probability, 0 to 1.
    pub target: f32,
    /// Decay of the moving average, 0 to 0.99.
    pub decay: f32,
}

/// A logit bias.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bias {
    /// The token; out-of-range ids are refused.
    pub token: i32,
    /// Added to its logit, −1000 to 1000; −∞ bans it.
    pub shift: f32,
}

impl Sampling {
    /// Always the most likely token.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            ..Self::default()
        }
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            seed: None,
            temperature: 0.8,
            top_k: 40,
            top_p: 0.9,
            min_p: 0.0,
            typical_p: 1.0,
            repeat_last_n: 64,
            repeat_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            top_n_sigma: 0.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            dry: None,
            mirostat: None,
            adaptive: None,
            logit_bias: Vec::new(),
        }
    }
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
    /// But not in these ranges; see [`Rendered::literal`].
    #[serde(default)]
    pub literal: Vec<(u32, u32)>,
}

/// Tokens to turn into text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detokenize {
    /// The tokens.
    pub tokens: Vec<i32>,
}

/// Inputs to turn into vectors, by an embedding model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embed {
    /// 1 to [`MAX_INPUTS`] inputs, each with at least one token.
    pub inputs: Vec<Input>,
    /// Keep the first numbers of each vector, 1 to the width of the model; `None` keeps all.
    pub dimensions: Option<u32>,
    /// Scale each vector to length 1, after `dimensions`.
    pub normalize: bool,
    /// Truncate inputs that are longer than the context, instead of refusing them.
    pub truncate: bool,
    /// Most tokens of one input, [`MIN_CONTEXT`] or more. `None` and larger values mean [`Loaded::context`].
    #[serde(default)]
    pub context: Option<u32>,
}

/// One input to turn into a vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Text. Its special tokens at start and end are added, and control tokens in it are parsed.
    Text(String),
    /// Tokens as they are; out-of-range ids are refused.
    Tokens(Vec<i32>),
}

/// Documents to score, by a reranker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rerank {
    /// The query.
    pub query: String,
    /// 1 to [`MAX_INPUTS`] documents.
    pub documents: Vec<String>,
    /// Truncate documents that are longer than the context, instead of refusing them.
    pub truncate: bool,
    /// Most tokens of query and document together; see [`Embed::context`].
    #[serde(default)]
    pub context: Option<u32>,
}

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
    /// [`Call::Generate`].
    Started {
        /// Tokens of the prompt, after truncation.
        prompt_tokens: u32,
        /// Of these, tokens that the KV cache has already.
        cached_tokens: u32,
    },
    /// Progress of prefill, in tokens (in inputs for [`Call::Embed`] and [`Call::Rerank`]). Not terminal.
    Prefill {
        /// Computed so far.
        done: u32,
        /// All of them.
        total: u32,
    },
    /// Images of the prompt are being encoded. Not terminal; the sign of life before the first [`Event::Prefill`].
    Looking {
        /// Grows with the work that is done.
        steps: u64,
    },
    /// More of the answer, in whole UTF-8 characters, without stop texts and without the markup of reasoning and tool calls.
    /// Not terminal.
    Delta(Delta),
    /// The model is ready. Terminal for [`Call::Load`].
    Loaded(Loaded),
    /// The end of the answer. Terminal for [`Call::Generate`].
    Done(Box<Done>),
    /// Terminal for [`Call::Tokenize`].
    Tokens(Vec<i32>),
    /// Terminal for [`Call::Detokenize`].
    Text(String),
    /// The rendered prompt. Terminal for [`Call::Template`].
    Prompt(Rendered),
    /// Terminal for [`Call::Embed`].
    Embeddings(Embeddings),
    /// Terminal for [`Call::Rerank`].
    Scores(Scores),
    /// Terminal for [`Call::Stats`].
    Stats(Stats),
    /// Terminal for [`Call::Recall`].
    Recalled {
        /// Saved states with a valid head.
        states: u32,
    },
    /// Terminal for [`Call::HandOut`]; `None` when no state is left that is worth an export.
    State(Option<Box<State>>),
    /// Terminal for [`Call::StatePart`].
    StatePart(Bytes),
    /// What the runner did with a saved state. Belongs to no request: its id is 0. Not terminal.
    Fate {
        /// Index in [`Recall::files`], below [`MAX_STATES`].
        state: u32,
        /// What it did.
        fate: Fate,
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
                | Self::Looking { .. }
                | Self::Delta(_)
                | Self::Fate { .. }
        )
    }
}

/// A piece of the answer: reasoning, then text, then tool calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// More text, of any number of tokens.
    pub text: String,
    /// Tokens generated so far.
    pub tokens: u32,
    /// More reasoning.
    #[serde(default)]
    pub reasoning: String,
    /// More of the tool calls.
    #[serde(default)]
    pub tool_calls: Vec<ToolCallDelta>,
    /// Logprobs of the tokens whose text begins in this piece, in order; empty unless [`Generate::logprobs`] asks for them.
    /// Those of markup and reasoning come with the next piece.
    #[serde(default)]
    pub logprobs: Vec<Logprob>,
}

impl Delta {
    /// Bytes of all its text.
    pub fn bytes(&self) -> usize {
        let calls = self.tool_calls.iter();
        self.text.len()
            + self.reasoning.len()
            + calls
                .map(|call| call.id.len() + call.name.len() + call.arguments.len())
                .sum::<usize>()
    }

    /// Whether it has nothing new.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
            && self.reasoning.is_empty()
            && self.tool_calls.is_empty()
            && self.logprobs.is_empty()
    }

    /// Appends the next piece. Only the order of reasoning and text within the two is lost.
    pub fn join(&mut self, next: Self) {
        self.text.push_str(&next.text);
        self.reasoning.push_str(&next.reasoning);
        self.tokens = next.tokens;
        self.logprobs.extend(next.logprobs);
        for call in next.tool_calls {
            match self.tool_calls.last_mut() {
                Some(last) if last.index == call.index && call.name.is_empty() => {
                    last.arguments.push_str(&call.arguments);
                }
                _ => self.tool_calls.push(call),
            }
        }
    }
}

/// More of a tool call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallDelta {
    /// Number of the call in the answer, from 0. A call is complete when the next one begins, or the answer ends with [`StopReason::Stop`].
    pub index: u32,
    /// The id, in the first piece of a call whose model gives one.
    pub id: String,
    /// The tool, in the first piece of a call; else empty.
    pub name: String,
    /// More of the JSON object of its arguments.
    pub arguments: String,
}

/// The logprob of a token, with top logprobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logprob {
    /// The chosen token.
    pub chosen: Likelihood,
    /// The most likely tokens in its place, the most likely first, with or without the chosen one.
    pub top: Vec<Likelihood>,
}

/// A token and its logprob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// The token.
    pub token: i32,
    /// Its bytes, not always whole characters; for a control token its name.
    pub bytes: Vec<u8>,
    /// Natural logarithm of the model's probability, before [`Sampling`] and [`Constraint`]; −9999 to 0.
    pub logprob: f32,
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
    /// Whether it has a chat template, its own or [`Load::chat_template`].
    pub has_chat_template: bool,
    /// Whether prompts may have images.
    #[serde(default)]
    pub sees_images: bool,
    /// Resident bytes of the process after loading.
    pub resident_bytes: u64,
    /// Bytes on accelerators.
    pub device_bytes: u64,
    /// The device, for people: `CPU (zen4)`, `NVIDIA H100`.
    pub device: String,
    /// Time since the call.
    pub load_ns: u64,
}

/// How an answer ended, with its counts and times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Why it ended.
    pub reason: StopReason,
    /// Tokens of the prompt after truncation.
    pub prompt_tokens: u32,
    /// Of these, tokens from the prefix cache.
    pub cached_tokens: u32,
    /// Tokens cut from the prompt with [`Overflow::Truncate`]. A lower bound for a text far longer than the context, whose rest is
    /// not tokenized.
    pub truncated: u32,
    /// Tokens generated.
    pub tokens: u32,
    /// Time from admission to the last prompt token.
    pub prefill_ns: u64,
    /// Time from the last prompt token to the end.
    pub decode_ns: u64,
    /// Time in the queue before admission.
    pub queue_ns: u64,
    /// Drafted tokens that were verified.
    #[serde(default)]
    pub drafted: u32,
    /// Of these, tokens that were accepted.
    #[serde(default)]
    pub accepted: u32,
    /// The stop text of [`Generate::stop`] that ended the answer, if one did.
    #[serde(default)]
    pub stop_text: Option<String>,
    /// The seed that was used.
    pub seed: u64,
    /// Tokens of prompt and answer, for clients that continue by tokens; empty for a prompt with images.
    pub all_tokens: Vec<i32>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// An end-of-generation token or a stop text.
    Stop,
    /// `max_tokens` was reached or the context is full.
    Length,
    /// [`Call::Cancel`].
    Cancelled,
}

/// Vectors of inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embeddings {
    /// One vector for each input, in order; all of one width, all numbers finite.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all inputs after truncation.
    pub prompt_tokens: u32,
    /// Inputs that were truncated.
    pub truncated: u32,
}

/// Relevance of documents to a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// One score for each document, in order; all finite. Higher is better; the scale is the model's own.
    pub scores: Vec<f32>,
    /// Tokens of all pairs after truncation.
    pub prompt_tokens: u32,
    /// Documents that were truncated.
    pub truncated: u32,
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
