//! What a request asks for, in no dialect.
//!
//! A dialect ([`crate::dialect`]) reads its bodies into these types, and [`crate::serve`] answers them.
//! Everything here was checked for its shape; what depends on the model is checked when the model is known.

use modelfile::Parameters;
use registry::ModelName;
use runner_protocol::{Bias, Shape, Tool, ToolChoice};
use tokio::time::Instant;

use crate::duration::KeepAlive;
use crate::images::Images;
use crate::think::Effort;
use crate::turn::Turn;

/// The model of a request, and how the request wants it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub model: ModelName,
    /// The name as the request writes it, for messages.
    pub label: String,
    /// Parameters that go over those of the model: sampling, limits and settings of the load.
    pub parameters: Parameters,
    /// How long the model stays loaded afterwards; `None` leaves it to the configuration.
    pub keep_alive: Option<KeepAlive>,
    /// When the request came.
    pub arrived: Instant,
}

/// A request for text.
#[derive(Debug)]
pub struct Ask {
    /// The model.
    pub target: Target,
    /// The conversation, first to last. A prompt is one turn of the user.
    pub turns: Vec<Turn>,
    /// The files of the images in the turns.
    pub images: Images,
    /// How the turns become a prompt.
    pub template: TemplateChoice,
    /// Text that follows what is generated, for templates with a place for it.
    pub suffix: Option<String>,
    /// Tokens of an earlier answer that the prompt goes on from. They hold the model's system prompt and messages already.
    pub after: Vec<i32>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it may, must or must not.
    pub tool_choice: ToolChoice,
    /// Whether the model thinks first; `None` leaves it to the model.
    pub think: Option<Effort>,
    /// What the answer must look like.
    pub shape: Option<Shape>,
    /// Report the log probability of each token, and of so many alternatives.
    pub logprobs: Option<u32>,
    /// Shifts of the scores of single tokens.
    pub biases: Vec<Bias>,
    /// Scales of the model's adapters by their number, from 0; adapters without one are left out. `None` takes the model's own.
    pub adapters: Option<Vec<(u32, f32)>>,
    /// What happens to a prompt that does not fit.
    pub overflow: Overflow,
    /// The same request gives the same text; `None` leaves it to the configuration.
    pub deterministic: Option<bool>,
}

impl Ask {
    /// A request that leaves everything else to the model and the configuration.
    pub fn new(target: Target, turns: Vec<Turn>) -> Self {
        Self {
            target,
            turns,
            images: Images::default(),
            template: TemplateChoice::Model,
            suffix: None,
            after: Vec::new(),
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            think: None,
            shape: None,
            logprobs: None,
            biases: Vec::new(),
            adapters: None,
            overflow: Overflow::Refuse,
            deterministic: None,
        }
    }
}

/// How turns become a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateChoice {
    /// By a template of the model.
    Model,
    /// By this template, in Go's language.
    Given(String),
    /// Not at all: the text goes to the model as it is, and control tokens written out in it count as such.
    Raw,
}

/// What happens to a prompt that does not fit the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// It is an error.
    Refuse,
    /// Tokens are cut from the prompt.
    CutTokens,
    /// The oldest turns are dropped; tokens are cut where that is not enough.
    DropTurns,
}

/// A request for vectors of texts.
#[derive(Debug)]
pub struct EmbedAsk {
    /// The model.
    pub target: Target,
    /// The texts.
    pub inputs: Vec<String>,
    /// Keep so many numbers of each vector; `None` keeps all.
    pub dimensions: Option<u32>,
    /// Give each vector the length 1.
    pub normalize: bool,
    /// Cut texts that are longer than the model reads, instead of refusing them.
    pub truncate: bool,
}

/// A request to judge documents.
#[derive(Debug)]
pub struct RankAsk {
    /// The model.
    pub target: Target,
    /// What the documents are to fit.
    pub query: String,
    /// The documents.
    pub documents: Vec<String>,
    /// Cut documents that are longer than the model reads, instead of refusing them.
    pub truncate: bool,
}
