//! Reads a request into an [`Ask`] for each choice.

use api::openai::CompletionRequest;
use runner_protocol::{Input, MAX_TOP_LOGPROBS};

use super::super::sampling::{self, MAX_CHOICES, TargetFields};
use super::super::{choices, format, inputs};
use super::Style;
use crate::app::App;
use crate::ask::{Ask, TemplateChoice};
use crate::budget::Share;
use crate::dialect::fields;
use crate::error::Error;
use crate::serve;
use crate::think::Effort;
use crate::turn::{Role, Turn};

/// Most choices of all prompts.
const MAX_ASKS: usize = 64;

/// A request that was read.
pub(super) struct Plan {
    /// The ask of all prompts, without the prompt.
    base: Ask,
    prompts: Vec<Input>,
    /// Choices of each prompt.
    per_prompt: u32,
    /// Whether a choice begins with its prompt.
    echo: bool,
    /// What the answer shows.
    pub(super) style: Style,
}

/// The choices of a request.
pub(super) struct Asks {
    /// The ask of each choice.
    pub(super) asks: Vec<Ask>,
    /// The text before each choice.
    pub(super) echoes: Vec<String>,
}

/// Reads a request.
///
/// # Errors
/// [`Error::Field`] names the field.
pub(super) fn read(share: &Share, mut request: CompletionRequest) -> Result<Plan, Error> {
    check(&request)?;
    let prompts = inputs::read("prompt", request.prompt.take())?;
    let per_prompt = sampling::whole("n", request.n.as_ref(), 1..=MAX_CHOICES)?.unwrap_or(1);
    if prompts.len() * per_prompt as usize > MAX_ASKS {
        let reason = format!("may have at most {MAX_ASKS} choices of all prompts together");
        return Err(Error::field("prompt", reason));
    }
    share.copy(per_prompt, "n")?;
    let suffix = request.suffix.clone().filter(|suffix| !suffix.is_empty());
    if suffix.is_some() && prompts.iter().any(|it| matches!(it, Input::Tokens(_))) {
        return Err(Error::field("suffix", "goes with prompts that are texts"));
    }
    let base = base(&request, suffix)?;
    let usage = request.stream_options.and_then(|it| it.include_usage);
    Ok(Plan {
        base,
        prompts,
        per_prompt,
        echo: request.echo == Some(true),
        style: Style {
            per_prompt: per_prompt as usize,
            usage: usage == Some(true),
            timings: request.timings_per_token == Some(true),
        },
    })
}

impl Plan {
    /// The ask of each choice. The model gives the texts of token prompts that are repeated, so it is loaded for them.
    ///
    /// # Errors
    /// When the model cannot be loaded, and for tokens that it does not have.
    pub(super) async fn asks(self, app: &App) -> Result<Asks, Error> {
        let mut asks = Vec::new();
        let mut echoes = Vec::new();
        for prompt in self.prompts {
            let (ask, echo) = one(app, &self.base, prompt, self.echo).await?;
            asks.extend(choices::of(ask, self.per_prompt)?);
            echoes.resize(asks.len(), echo);
        }
        Ok(Asks { asks, echoes })
    }
}

/// Refuses fields that contradict each other or ask for something that slm does not have.
fn check(request: &CompletionRequest) -> Result<(), Error> {
    if let Some((field, reason)) = request.refused() {
        return Err(Error::field(field, reason));
    }
    sampling::whole("best_of", request.best_of.as_ref(), 1..=1).map_err(|_| {
        let reason = "must be 1: slm does not choose among answers; n gives several";
        Error::field("best_of", reason)
    })?;
    if request.echo == Some(true) {
        if request
            .suffix
            .as_deref()
            .is_some_and(|suffix| !suffix.is_empty())
        {
            return Err(Error::field("echo", "goes without suffix"));
        }
        if logprobs(request)?.is_some() {
            let reason = "goes without logprobs: the tokens of a prompt have none";
            return Err(Error::field("echo", reason));
        }
    }
    Ok(())
}

fn logprobs(request: &CompletionRequest) -> Result<Option<u32>, Error> {
    let top = sampling::whole("logprobs", request.logprobs.as_ref(), 0..=MAX_TOP_LOGPROBS)?;
    let n_probs = sampling::whole("n_probs", request.n_probs.as_ref(), 0..=MAX_TOP_LOGPROBS)?;
    Ok(top.or(n_probs.filter(|number| *number > 0)))
}

/// What the asks of all prompts have in common.
fn base(request: &CompletionRequest, suffix: Option<String>) -> Result<Ask, Error> {
    let target = sampling::target(TargetFields {
        model: request.model.as_deref(),
        options: request.options.as_ref(),
        keep_alive: request.keep_alive.as_ref(),
        parameters: request.parameters(),
        stop: request.stop.as_ref(),
    })?;
    Ok(Ask {
        template: match suffix {
            Some(_) => TemplateChoice::Model,
            None => TemplateChoice::Raw,
        },
        // The middle of a text has no room for thinking.
        think: suffix.is_some().then_some(Effort::Off),
        suffix,
        shape: format::shape(
            None,
            request.json_schema.as_ref(),
            request.grammar.as_deref(),
        )?,
        logprobs: logprobs(request)?,
        biases: sampling::biases(request.logit_bias.as_ref())?,
        adapters: fields::adapters(request.lora.as_deref()),
        deterministic: request.deterministic,
        ..Ask::new(target, Vec::new())
    })
}

/// The ask of one prompt, and the text that its choices begin with.
async fn one(app: &App, base: &Ask, prompt: Input, echo: bool) -> Result<(Ask, String), Error> {
    let mut ask = base.clone();
    match prompt {
        Input::Text(text) => {
            let before = if echo { text.clone() } else { String::new() };
            ask.turns = vec![Turn::text(Role::User, text)];
            Ok((ask, before))
        }
        Input::Tokens(tokens) => {
            ask.template = TemplateChoice::Tokens(tokens);
            let before = match echo {
                true => serve::prompt(app, ask.clone()).await?.text,
                false => String::new(),
            };
            Ok((ask, before))
        }
    }
}
