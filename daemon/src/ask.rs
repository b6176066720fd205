//! A request, independent of the dialect that it came in.
//!
//! A dialect ([`crate::dialect`]) reads its bodies into these types, and [`crate::serve`] answers them.
//! A dialect has checked each value by itself; what depends on the model is checked once the model is known.

use std::collections::BTreeMap;

use modelfile::Parameters;
use registry::ModelName;
use runner_protocol::{Bias, Input, Shape, Tool, ToolChoice, Variable};
use tokio::time::Instant;

use crate::duration::KeepAlive;
use crate::images::Images;
use crate::think::Effort;
use crate::turn::Turn;

/// The model of a request, with the parameters and the keep-alive that the request sets.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub model: ModelName,
    /// The name as the request writes it, for messages.
    pub label: String,
    /// Parameters that override those of the model: sampling, limits and settings of the load.
    pub parameters: Parameters,
    /// How long the model stays loaded afterwards; `None` takes the configured time.
    pub keep_alive: Option<KeepAlive>,
    /// When the request arrived.
    pub arrived: Instant,
}

/// A request for text.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The model.
    pub target: Target,
    /// The conversation in order. A single prompt is one turn of the user.
    pub turns: Vec<Turn>,
    /// The files of the images in the turns.
    pub images: Images,
    /// How the turns become a prompt.
    pub template: TemplateChoice,
    /// Text after the answer, for templates with `.Suffix`.
    pub suffix: Option<String>,
    /// Tokens of an earlier prompt and answer, which the new prompt continues. They include the model's system prompt and messages.
    pub after: Vec<i32>,
    /// The tools that the model may call.
    pub tools: Vec<Tool>,
    /// Whether the model may, must or must not call a tool.
    pub tool_choice: ToolChoice,
    /// Whether one answer may have several calls; `None` leaves it to the template.
    pub parallel_tool_calls: Option<bool>,
    /// Further variables of the chat template in the weights. The runner refuses unknown names.
    pub variables: BTreeMap<String, Variable>,
    /// Whether the model thinks before it answers; `None` takes the model's default.
    pub think: Option<Effort>,
    /// Whether a model that cannot think answers without thinking, instead of refusing the request.
    pub think_is_optional: bool,
    /// The constraint of the answer.
    pub shape: Option<Shape>,
    /// Report the logprob of each token, and this many top logprobs.
    pub logprobs: Option<u32>,
    /// Logit biases.
    pub biases: Vec<Bias>,
    /// Scales of the model's adapters by their index, from 0; an adapter without a scale is off. `None` takes the model's own scales.
    pub adapters: Option<Vec<(u32, f32)>>,
    /// What happens to a prompt that does not fit the context.
    pub overflow: Overflow,
    /// Whether the same request gives the same text; `None` takes the configured value.
    pub deterministic: Option<bool>,
}

impl Ask {
    /// A request with these turns, and the defaults of the model and the configuration for everything else.
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
            parallel_tool_calls: None,
            variables: BTreeMap::new(),
            think: None,
            think_is_optional: false,
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
    /// By the model's template.
    Model,
    /// By this Go template.
    Given(String),
    /// Without a template: the text is the prompt, and control tokens in it are parsed.
    Raw,
    /// Without text: the prompt is these tokens. The turns do not count.
    Tokens(Vec<i32>),
}

/// What happens to a prompt that does not fit the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The request fails.
    Refuse,
    /// Tokens are cut from the prompt.
    CutTokens,
    /// The oldest turns are dropped; if that is not enough, tokens are cut as well.
    DropTurns,
}

/// A request for embeddings.
#[derive(Debug)]
pub struct EmbedAsk {
    /// The model.
    pub target: Target,
    /// The texts, or their tokens.
    pub inputs: Vec<Input>,
    /// Keep the first numbers of each vector, this many; `None` keeps all.
    pub dimensions: Option<u32>,
    /// Scale each vector to length 1.
    pub normalize: bool,
    /// Truncate texts that are longer than the context, instead of refusing them.
    pub truncate: bool,
}

/// A request to rank documents by their relevance to a query.
#[derive(Debug)]
pub struct RerankAsk {
    /// The model.
    pub target: Target,
    /// The query.
    pub query: String,
    /// The documents.
    pub documents: Vec<String>,
    /// Truncate documents that are longer than the context, instead of refusing them.
    pub truncate: bool,
}
