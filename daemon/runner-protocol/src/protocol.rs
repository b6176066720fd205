//! What daemon and runner say to each other.
//!
//! The daemon sends [`Request`]s, each under an id of its choice.
//! The runner answers each with a stream of [`Reply`]s under that id which ends in **exactly one** terminal [`Event`] (see [`Event::is_terminal`]).
//! Requests run side by side; replies to different ids interleave.
//! The first frame on a new connection is the runner's [`Hello`]; a daemon that does not know its version ends the runner.
//!
//! Every field is built by the daemon from checked values; nothing that a client sent is passed through unread.
//! Times are in nanoseconds and measured by the runner's monotonic clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::images::{
    Image, Images, MAX_IMAGE_BYTES, MAX_IMAGES, MAX_IMAGES_BYTES, MAX_MARK_BYTES,
};

/// The version of this protocol; both sides come from one build, so they must be equal.
pub const VERSION: u32 = 2;

/// The option of a runner's command line that leaves out its sandbox.
pub const NO_SANDBOX: &str = "--no-sandbox";

/// Largest context, in cells: a limit of ours, so that a slip of the pen is told from a wish.
pub const MAX_CONTEXT: u32 = 1 << 20;

/// Smallest context, in cells.
pub const MIN_CONTEXT: u32 = 4;

/// Most sequences side by side; llama.cpp's own limit.
pub const MAX_SEQUENCES: u32 = 256;

/// Most tokens in one decode call.
pub const MAX_BATCH: u32 = 65_536;

/// Most threads that compute; llama.cpp's own limit.
pub const MAX_THREADS: u32 = 512;

/// Most adapters of one model.
pub const MAX_ADAPTERS: usize = 16;

/// Most tokens of one draft; what asks for more gets as many.
pub const MAX_DRAFT: u32 = 32;

/// Most alternatives whose probabilities are told beside that of a chosen token.
pub const MAX_TOP_LOGPROBS: u32 = 20;

/// Most tokens whose scores a request can shift.
pub const MAX_BIASES: usize = 1024;

/// Most texts at which a repetition is taken to begin anew.
pub const MAX_BREAKERS: usize = 64;

/// Longest of these texts, in bytes.
pub const MAX_BREAKER_BYTES: usize = 1024;

/// Longest schema, grammar or pattern of a constraint, in bytes.
pub const MAX_CONSTRAINT_BYTES: usize = 64 * 1024;

/// Longest text after which a constraint begins, in bytes.
pub const MAX_MARKER_BYTES: usize = 256;
/// Most tools that one conversation offers.
pub const MAX_TOOLS: usize = 256;

/// Most calls in one message.
pub const MAX_TOOL_CALLS: usize = 256;

/// Longest name of a tool in bytes. It is made of ASCII letters, digits and `_ - . : /`.
pub const MAX_TOOL_NAME: usize = 128;

/// Longest JSON Schema of a tool's parameters, in bytes.
pub const MAX_TOOL_SCHEMA: usize = 256 * 1024;

/// How deep the JSON of a tool's parameters or of a call's arguments may be nested.
pub const MAX_JSON_DEPTH: usize = 64;

/// Most saved states that a runner is handed.
pub const MAX_STATES: usize = 64;

/// Most bytes of a state that leave a runner at once.
pub const MAX_STATE_PART: usize = 4 * 1024 * 1024;

/// Most texts of one [`Embed`] and most documents of one [`Rerank`], so that the vectors of the widest model fit a frame.
pub const MAX_INPUTS: usize = 256;

/// First frame of a runner: who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Equal to [`VERSION`], or the daemon ends the runner.
    pub version: u32,
    /// Engine and its build, for people: `llama.cpp 0.6.0` or `mock`.
    pub engine: String,
    /// How far it has confined itself. It says so before it has seen anything of a model, so it has no reason to lie.
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

/// How far a runner is confined: what was tried and found, not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sandbox {
    /// How far.
    pub level: SandboxLevel,
    /// What is missing to the highest level that its devices permit, in one line for people; empty at that level, and when it is off.
    pub lacks: String,
}

/// Levels of confinement, each with all that those before it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum SandboxLevel {
    /// A process of its own, with an environment and open files of its own, that ends with the daemon.
    #[default]
    Off,
    /// Besides, limits on files and memory, and no privileges.
    Limits,
    /// Besides, either no files but those that it was handed, or no programs, sockets and signals.
    Partial,
    /// Both. More is not to be had with an accelerator.
    Full,
    /// Besides, no calls but those that an answer needs, and a network in which there is nothing.
    Strict,
}

impl SandboxLevel {
    /// The level as one word.
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

/// One call from the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the daemon, never reused on one connection.
    pub id: u64,
    /// What to do.
    pub call: Call,
}

/// What a runner can be asked to do.
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
    /// Judge how well documents fit a query. Ends in [`Event::Scores`].
    Rerank(Rerank),
    /// Stop the call with this id within one step; that call ends in [`Event::Done`] with [`StopReason::Cancelled`],
    /// and an [`Call::Embed`] or [`Call::Rerank`] in [`Event::Failed`].
    /// Has no events of its own; an id that is unknown or over is no error, because the end may be on its way.
    Cancel {
        /// Id of the call to stop.
        target: u64,
    },
    /// How much is in use. Ends in [`Event::Stats`].
    Stats,
    /// What may be kept of sequences that are over, besides what fits the cells of the cache; nothing without this call.
    /// At most once, and before [`Call::Load`]. Ends in [`Event::Recalled`].
    Recall(Recall),
    /// Hand out the state of the sequence that is worth most of those that are over, and forget it. Ends in [`Event::State`].
    HandOut(HandOut),
    /// The bytes of the state that was handed out last, at most [`MAX_STATE_PART`] from this one on. Ends in [`Event::StatePart`].
    StatePart {
        /// Number of the first byte, from 0 to as many as the state has.
        offset: u64,
    },
    /// Finish by leaving. No answer but the closed socket.
    Shutdown,
}

/// What to load, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Number of the inherited read-only descriptor of the GGUF file.
    pub weights_fd: i32,
    /// Inherited read-only descriptors of the other files of a split model, in the order of their parts.
    #[serde(default)]
    pub shard_fds: Vec<i32>,
    /// Inherited descriptors of LoRA adapters with their scales, at most [`MAX_ADAPTERS`].
    pub adapters: Vec<Adapter>,
    /// Most sequences that may decode side by side, 1 to [`MAX_SEQUENCES`].
    pub sequences: u32,
    /// The rest of what it is loaded with.
    pub settings: LoadSettings,
    /// Chat template to use instead of the model's own (Jinja source), if any.
    pub chat_template: Option<String>,
    /// Number of the inherited read-only descriptor of a smaller model with the same vocabulary that drafts tokens, if any.
    /// It gets a KV cache of as many cells.
    #[serde(default)]
    pub draft_fd: Option<i32>,
    /// Whether tokens are drafted.
    #[serde(default)]
    pub speculation: Speculation,
    /// What turns images into input of the model; `None` for one that reads text only.
    #[serde(default)]
    pub projector: Option<Projector>,
}

/// What a request or a Modelfile can set of a load. It holds for as long as the model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSettings {
    /// Cells of the KV cache, shared by all sequences; [`MIN_CONTEXT`] to [`MAX_CONTEXT`].
    pub context: u32,
    /// Most tokens in one decode call, 1 to [`MAX_BATCH`], and no fewer than there are sequences.
    pub batch: u32,
    /// CPU threads, at most [`MAX_THREADS`]; 0 lets the engine choose.
    pub threads: u32,
    /// Layers on a GPU; −1 as many as fit, 0 none.
    pub gpu_layers: i32,
    /// Device for a model that lies on one GPU.
    pub main_gpu: i32,
    /// Map the file instead of reading it.
    pub mmap: bool,
}

/// Whether tokens are guessed before they are chosen. It changes how fast they come, and not which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speculation {
    /// As long as it was measured to be faster.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Whenever there is something to guess from, also where it is slower; to measure and to test.
    Always,
}

/// What a runner may keep of sequences that are over, and what another one kept before it.
///
/// A *state* is what the cache holds of a sequence, as bytes that only the same engine understands, for the same model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// The same for the same weights and adapters, and for no others; 1 to [`MAX_MODEL_KEY`](crate::state::MAX_MODEL_KEY) bytes.
    pub model: String,
    /// Bytes of memory for states of sequences that lost their cells; `None` lets the engine choose, 0 keeps none.
    pub memory: Option<u64>,
    /// Numbers of the inherited read-only descriptors of saved states (see [`crate::state`]), latest used first;
    /// at most [`MAX_STATES`].
    pub files: Vec<i32>,
}

/// Which states are worth to be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOut {
    /// Those of fewer tokens are not, and those that part from one that is saved already by fewer.
    pub min_tokens: u32,
    /// Those of more bytes are not.
    pub max_bytes: u64,
}

/// A state that is handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What it is the state of.
    pub head: crate::state::Head,
    /// Saved states that it replaces, because their tokens are a beginning of its own; indices in [`Recall::files`].
    pub instead_of: Vec<u32>,
}

/// What became of a saved state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// A sequence went on from it.
    Used,
    /// It is damaged, of another build or of another model, and was not used.
    Refused,
}

/// Bytes, which take no more room in a frame than they are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // They may hold what users wrote.
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

/// A projector of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Projector {
    /// Number of the inherited read-only descriptor of its GGUF file.
    pub fd: i32,
    /// Digest of that file, in hex: two projectors make different things of one image.
    pub digest: String,
}

/// One LoRA adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// Number of the inherited read-only descriptor.
    pub fd: i32,
    /// Weight of the adapter where a request does not say, usually 1.
    pub scale: f32,
}

/// A prompt and how to continue it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// What to continue.
    pub prompt: Prompt,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate; `None` until the context is full.
    pub max_tokens: Option<u32>,
    /// Cells that prompt and answer may take together, [`MIN_CONTEXT`] or more; `None`, and more than there are, takes
    /// all of [`Loaded::context`]. What was loaded beyond it for others is as if it were not there.
    #[serde(default)]
    pub context: Option<u32>,
    /// The same request gives the same tokens, whatever was asked before and whoever asks beside it: it is computed when
    /// nothing else is, from an empty cache, in steps that are always cut alike, and nothing is drafted.
    /// It holds for the same build on the same machine, loaded with the same settings. Others wait meanwhile.
    #[serde(default)]
    pub deterministic: bool,
    /// Texts that end the answer and are not part of it. At most 64, each non-empty.
    pub stop: Vec<String>,
    /// What to do when prompt or answer outgrow the context.
    pub overflow: Overflow,
    /// Scales of the adapters for this request, in the order of [`Load::adapters`]; 0 leaves one out. `None` takes the scales given there.
    pub adapter_scales: Option<Vec<f32>>,
    /// How to read the answer to a prompt that is text or tokens: as the model's own chat template has it written in this
    /// conversation. `None` takes it as plain text. A prompt that is a conversation says it itself, and leaves this out.
    #[serde(default)]
    pub read_as: Option<Box<Template>>,
    /// What the answer must look like; `None` lets it be anything.
    pub constraint: Option<Constraint>,
    /// Most tokens that are drafted at a time, up to [`MAX_DRAFT`]; 0 drafts none, and `None` leaves it to the engine.
    #[serde(default)]
    pub draft: Option<u32>,
    /// Report how likely each token was, and so many likeliest tokens in its place, 0 to [`MAX_TOP_LOGPROBS`].
    pub logprobs: Option<u32>,
    /// Images that the prompt shows; it is then a text or a conversation. They count as the tokens that they become,
    /// and such a prompt is never cut: with [`Overflow::Truncate`] it is refused, too, when it does not fit.
    #[serde(default)]
    pub images: Option<Images>,
}

/// What an answer must look like.
///
/// Tokens that cannot go on to a valid answer are never chosen, and the answer ends when nothing can follow.
/// An answer that ends before, at its limit of tokens or at a stop text, is the beginning of a valid one.
/// What cannot be enforced is refused as [`FailureKind::Invalid`]; there is no answer without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// The rule.
    pub shape: Shape,
    /// The rule holds from the end of the first occurrence of this text on, such as the mark that ends a thought.
    /// `None` from the start; else 1 to [`MAX_MARKER_BYTES`]. Control tokens count as they are written.
    pub after: Option<String>,
}

/// The rule of a constraint; its text has at most [`MAX_CONSTRAINT_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// A JSON object.
    Json,
    /// JSON that a JSON Schema allows. The schema is an object, as text.
    Schema(String),
    /// Text that the rule `root` of a grammar in GBNF produces.
    Grammar(String),
    /// Text that a regular expression matches as a whole.
    Regex(String),
}

/// A prompt in one of the shapes a caller may have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Prompt {
    /// Text that is already rendered. `special` says whether control tokens written out in it count as such.
    /// A leading beginning-of-sequence token is added where the model wants one, and never twice.
    Text {
        /// The text.
        text: String,
        /// Parse control tokens such as `<|im_end|>`.
        special: bool,
    },
    /// Tokens, taken as they are; out-of-range ids are refused.
    Tokens(Vec<i32>),
    /// A conversation that was rendered elsewhere. Control tokens written out in it count as such, but for what is literal.
    Rendered(Rendered),
    /// A conversation, rendered by the model's chat template. Control tokens written out in what it says are text, where the
    /// template leaves that as it is.
    Chat(Template),
}

/// A rendered conversation: text of a template, which has control tokens, and text of people and tools, which has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// All of it.
    pub text: String,
    /// First and last byte, this one not included, of what is text whatever it looks like; in order, without overlap.
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

/// What happens when the context is too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overflow {
    /// A prompt that does not fit is an error; a full context ends the answer with [`StopReason::Length`].
    Refuse,
    /// A prompt that does not fit loses tokens after the first `keep` ones, and [`Done::truncated`] says how many;
    /// a full context ends the answer with [`StopReason::Length`].
    Truncate {
        /// Tokens at the start that always stay.
        keep: u32,
    },
}

/// A conversation for the chat template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// In order, first to last.
    pub messages: Vec<Message>,
    /// Ends the prompt where the assistant starts to speak.
    pub add_generation_prompt: bool,
    /// Lets the model think first, where its template knows how; `None` leaves it to the template.
    pub thinking: Option<bool>,
    /// What the model may call; at most [`MAX_TOOLS`], no name twice.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// Whether it may, must or must not call them.
    #[serde(default)]
    pub tool_choice: ToolChoice,
    /// Whether one answer may hold several calls; `None` leaves it to the template.
    #[serde(default)]
    pub parallel_tool_calls: Option<bool>,
    /// What else the template is told, by name. The engine knows which names there are, and refuses others.
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
    /// What the assistant thought before; empty where it did not.
    #[serde(default)]
    pub reasoning: String,
    /// What the assistant called; at most [`MAX_TOOL_CALLS`].
    #[serde(default)]
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool's result: the call that it answers; empty where nobody says.
    #[serde(default)]
    pub tool_call_id: String,
    /// Of a tool's result: the tool; empty where nobody says.
    #[serde(default)]
    pub tool_name: String,
}

/// A function that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// 1 to [`MAX_TOOL_NAME`] bytes, see there.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its parameters, an object; at most [`MAX_TOOL_SCHEMA`] bytes and [`MAX_JSON_DEPTH`] levels.
    pub parameters: String,
}

/// A call that the model made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call; empty where nobody named it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON object of the arguments; at most [`MAX_JSON_DEPTH`] levels.
    pub arguments: String,
}

/// Whether tools are called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tool, although the model knows them.
    None,
    /// At least one.
    Required,
    /// This one.
    One(String),
}

/// A value that a chat template is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Variable {
    /// True or false.
    Flag(bool),
    /// A number.
    Number(i64),
    /// A text of at most 256 bytes.
    Text(String),
}

/// How the next token is chosen. Units and defaults are those of the Modelfile's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Start of the random numbers; `None` takes one at random, and [`Done::seed`] tells which.
    /// Those above 2³²−1 are mixed down to as many bits.
    pub seed: Option<u64>,
    /// 0 is greedy.
    pub temperature: f32,
    /// Keep the k likeliest; 0 keeps all.
    pub top_k: u32,
    /// Keep the likeliest up to this probability; 1 keeps all.
    pub top_p: f32,
    /// Keep what has at least this share of the likeliest one's probability; 0 keeps all.
    pub min_p: f32,
    /// Locally typical sampling; 1 is off.
    pub typical_p: f32,
    /// Tokens that the penalties look back on; 0 none, −1 the context.
    pub repeat_last_n: i32,
    /// 1 is off.
    pub repeat_penalty: f32,
    /// 0 is off.
    pub presence_penalty: f32,
    /// 0 is off.
    pub frequency_penalty: f32,
    /// Keep what scores within so many standard deviations of the likeliest; 0 keeps all.
    pub top_n_sigma: f32,
    /// Chance that all likely tokens but the least likely of them are left out; 0 is off.
    pub xtc_probability: f32,
    /// The probability from which on a token is likely in this sense; above 0.5 is off.
    pub xtc_threshold: f32,
    /// The temperature moves by so much around its value, with how open the choice is; 0 is off.
    pub dynatemp_range: f32,
    /// How the openness maps to the temperature; 1 is straight.
    pub dynatemp_exponent: f32,
    /// Penalty of repeated runs of tokens.
    pub dry: Option<Dry>,
    /// Draw so that the surprise stays level; what else cuts the choice is then not used.
    pub mirostat: Option<Mirostat>,
    /// Draw so that the probability of what is chosen stays near a target.
    pub adaptive: Option<Adaptive>,
    /// Shifts of the scores of single tokens, at most [`MAX_BIASES`].
    pub logit_bias: Vec<Bias>,
}

/// Penalty of a token that goes on with a run of tokens which stands in the text before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dry {
    /// Penalty of the shortest run that is not allowed; 0 is off.
    pub multiplier: f32,
    /// Grows by this factor with each further token; at least 1.
    pub base: f32,
    /// Tokens that a run may have without a penalty.
    pub allowed_length: u32,
    /// Tokens that are looked back on; 0 none, −1 the context.
    pub last_n: i32,
    /// Texts at which a run begins anew, at most [`MAX_BREAKERS`], each of 1 to [`MAX_BREAKER_BYTES`] bytes.
    pub breakers: Vec<String>,
}

/// Draws with a level surprise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mirostat {
    /// 1 or 2.
    pub version: u8,
    /// The surprise to keep, in bits.
    pub tau: f32,
    /// How fast it is corrected, 0 to 1.
    pub eta: f32,
}

/// Draws near a target probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adaptive {
    /// Probability of what is chosen, on average, 0 to 1.
    pub target: f32,
    /// Weight of what was chosen before, 0 to 0.99.
    pub decay: f32,
}

/// A shift of the score of one token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bias {
    /// The token; out-of-range ids are refused.
    pub token: i32,
    /// Added to its score, −1000 to 1000; −∞ never takes it.
    pub shift: f32,
}

impl Sampling {
    /// The likeliest token, always.
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
    /// Put the model's beginning-of-sequence token first, where it wants one.
    pub add_special: bool,
    /// Control tokens written out in the text count as such.
    pub parse_special: bool,
    /// But for these places; see [`Rendered::literal`].
    #[serde(default)]
    pub literal: Vec<(u32, u32)>,
}

/// Tokens to turn into text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detokenize {
    /// The tokens.
    pub tokens: Vec<i32>,
}

/// Texts to turn into vectors, by a model that is made for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embed {
    /// 1 to [`MAX_INPUTS`] of them, none without tokens.
    pub inputs: Vec<Input>,
    /// Keep so many numbers of each vector, from the first; 1 to the width of the model. `None` keeps all.
    pub dimensions: Option<u32>,
    /// Give each vector the length 1, after it was cut.
    pub normalize: bool,
    /// Cut inputs that are longer than the model reads, instead of refusing them.
    pub truncate: bool,
    /// Most tokens that are read of one input, [`MIN_CONTEXT`] or more; `None`, and more than [`Loaded::context`], reads as
    /// many as that.
    #[serde(default)]
    pub context: Option<u32>,
}

/// One text to turn into a vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Text. The tokens that the model wants before and behind it are added, and control tokens written out in it count as such.
    Text(String),
    /// Tokens, taken as they are; out-of-range ids are refused.
    Tokens(Vec<i32>),
}

/// Documents to judge, by a model that is made for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rerank {
    /// What the documents are to fit.
    pub query: String,
    /// 1 to [`MAX_INPUTS`] of them.
    pub documents: Vec<String>,
    /// Cut documents that are longer than the model reads, instead of refusing them.
    pub truncate: bool,
    /// Most tokens that are read of query and document together; as [`Embed::context`].
    #[serde(default)]
    pub context: Option<u32>,
}

/// One event of the answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The id of the request.
    pub id: u64,
    /// What happened.
    pub event: Event,
}

/// What a runner reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// Part of the file is loaded, 0 to 1. Not terminal.
    Loading {
        /// Share that is done.
        fraction: f32,
    },
    /// Prompt tokens (of [`Call::Embed`] and [`Call::Rerank`]: inputs) were computed. Not terminal; also the sign of life while much is read.
    Prefill {
        /// Computed so far.
        done: u32,
        /// Of so many.
        total: u32,
    },
    /// Images of the prompt are being looked at. Not terminal; the sign of life before the first [`Event::Prefill`].
    Looking {
        /// Grows with the work that is done.
        steps: u64,
    },
    /// More of the answer. Whole UTF-8 characters, never part of a stop text; of the answer to a conversation never a part of
    /// the markup by which the model tells thoughts, text and calls apart. Not terminal.
    Delta(Delta),
    /// The model is ready. Terminal for [`Call::Load`].
    Loaded(Loaded),
    /// The answer is over. Terminal for [`Call::Generate`].
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
        /// Saved states whose heads can be read.
        states: u32,
    },
    /// Terminal for [`Call::HandOut`]; `None` when no state is left that is worth it.
    State(Option<Box<State>>),
    /// Terminal for [`Call::StatePart`].
    StatePart(Bytes),
    /// What became of a saved state. Belongs to no request: its id is 0. Not terminal.
    Fate {
        /// Which, by its index in [`Recall::files`]; below [`MAX_STATES`].
        state: u32,
        /// What.
        fate: Fate,
    },
    /// It failed. Terminal for every call.
    Failed(Failure),
}

impl Event {
    /// Whether this event is the last of its request.
    pub fn is_terminal(&self) -> bool {
        !matches!(
            self,
            Self::Loading { .. }
                | Self::Prefill { .. }
                | Self::Looking { .. }
                | Self::Delta(_)
                | Self::Fate { .. }
        )
    }
}

/// A piece of the answer: thoughts, then text, then calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// The text; may stand for several tokens, and is empty where only the rest grew.
    pub text: String,
    /// Tokens generated up to here.
    pub tokens: u32,
    /// More of what the model thinks before it answers.
    #[serde(default)]
    pub reasoning: String,
    /// More of the tool calls.
    #[serde(default)]
    pub tool_calls: Vec<ToolCallDelta>,
    /// The tokens whose text begins in this piece, in order; empty unless [`Generate::logprobs`] asks for them.
    /// Tokens of markup and thoughts are told with what leaves next.
    #[serde(default)]
    pub logprobs: Vec<Logprob>,
}

impl Delta {
    /// Bytes of text in it, whatever they are part of.
    pub fn bytes(&self) -> usize {
        let calls = self.tool_calls.iter();
        self.text.len()
            + self.reasoning.len()
            + calls
                .map(|call| call.id.len() + call.name.len() + call.arguments.len())
                .sum::<usize>()
    }

    /// Whether nothing grew.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
            && self.reasoning.is_empty()
            && self.tool_calls.is_empty()
            && self.logprobs.is_empty()
    }

    /// Adds the piece that follows, which loses nothing but the order of thoughts and text within the two.
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

/// More of a call that the model makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallDelta {
    /// Which call of the answer, from 0. A call is complete when the next one begins, or the answer ends with [`StopReason::Stop`].
    pub index: u32,
    /// In the first piece of a call: its id, where the model gives one.
    pub id: String,
    /// In the first piece of a call: the tool. Empty in all others.
    pub name: String,
    /// More of the JSON object of its arguments.
    pub arguments: String,
}

/// How likely a token was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logprob {
    /// The token that was chosen.
    pub chosen: Likelihood,
    /// The likeliest tokens in its place, likeliest first; the chosen one may be among them.
    pub top: Vec<Likelihood>,
}

/// A token and how likely it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// The token.
    pub token: i32,
    /// Its bytes, which need not be whole characters; control tokens are written out.
    pub bytes: Vec<u8>,
    /// Natural logarithm of the probability that the model gave it, before anything of [`Sampling`] and [`Constraint`] was applied;
    /// −9999 to 0.
    pub logprob: f32,
}

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// Cells of the KV cache as it was made.
    pub context: u32,
    /// Context length that the model was trained with.
    pub trained_context: u32,
    /// Size of the vocabulary.
    pub vocabulary: u32,
    /// Whether the model brings a chat template (or [`Load::chat_template`] gave one).
    pub has_chat_template: bool,
    /// Whether prompts may show images.
    #[serde(default)]
    pub sees_images: bool,
    /// Resident bytes of the process after loading.
    pub resident_bytes: u64,
    /// Bytes on accelerators.
    pub device_bytes: u64,
    /// Device that computes, for people: `CPU (zen4)`, `NVIDIA H100`.
    pub device: String,
    /// Time from the call to here.
    pub load_ns: u64,
}

/// How the answer ended, and what it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Why it ended.
    pub reason: StopReason,
    /// Tokens of the prompt, computed or remembered, after truncation.
    pub prompt_tokens: u32,
    /// Of these, tokens that were remembered.
    pub cached_tokens: u32,
    /// Tokens cut from the prompt; 0 but with [`Overflow::Truncate`].
    /// Of a text that is far longer than the context, at least so many: not everything is counted that is not read.
    pub truncated: u32,
    /// Tokens generated.
    pub tokens: u32,
    /// Time from admission to the last prompt token.
    pub prefill_ns: u64,
    /// Time from there to the end.
    pub decode_ns: u64,
    /// Time in the queue before admission.
    pub queue_ns: u64,
    /// Drafted tokens that were computed.
    #[serde(default)]
    pub drafted: u32,
    /// Of these, tokens that became part of the answer.
    #[serde(default)]
    pub accepted: u32,
    /// Seed that was used, as it was given.
    pub seed: u64,
    /// Prompt and answer as tokens, for clients that continue by tokens; empty where the prompt shows images.
    pub all_tokens: Vec<i32>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// The model ended it, or a stop text came.
    Stop,
    /// `max_tokens` was reached or the context is full.
    Length,
    /// The daemon asked for it.
    Cancelled,
}

/// Vectors of texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embeddings {
    /// One for each input, in order; all of one width, all numbers finite.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all inputs that were read.
    pub prompt_tokens: u32,
    /// Inputs that were cut.
    pub truncated: u32,
}

/// How well documents fit a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// One for each document, in order; all finite. More is better; the scale is the model's own.
    pub scores: Vec<f32>,
    /// Tokens of all pairs that were read.
    pub prompt_tokens: u32,
    /// Documents that were cut.
    pub truncated: u32,
}

/// What is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Sequences that decode now.
    pub active: u32,
    /// Requests that wait for a sequence.
    pub waiting: u32,
    /// KV cells in use.
    pub cells_used: u32,
    /// Resident bytes of the process.
    pub resident_bytes: u64,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure, for machines.
    pub kind: FailureKind,
    /// For people: names the thing and, where there is one, the remedy.
    pub message: String,
}

/// Kinds of failure, by what the caller can do.
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
    /// Too much is queued; later may work.
    Busy,
    /// The model wrote what its own form of answers does not know; another try may work.
    Unreadable,
    /// The engine failed; a fresh runner may work.
    Internal,
}
