//! A request whose model is loaded.

use registry::Capability;
use runner_protocol::{self as protocol, Constraint, Generate, Prompt};

use super::ResolvedModel;
use super::adapters;
use super::attempt::Attempt;
use super::turns::{joined, with_model_turns};
use crate::answer::{Answer, Event, RequestTimes};
use crate::app::App;
use crate::ask::{Ask, Overflow, TemplateChoice};
use crate::error::Error;
use crate::images;
use crate::prompt::{self, Conversation, Needs, PromptSource};
use crate::scheduler::Lease;
use crate::think::Think;

/// A request, the lease on its model, and everything that the call of the runner needs.
pub(super) struct Prepared {
    resolved: ResolvedModel,
    lease: Lease,
    times: RequestTimes,
    attempt: Attempt,
    conversation: Conversation,
    overflow: Overflow,
}

/// The prompt that a model reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptText {
    /// The text, with control tokens as text.
    pub text: String,
    /// Its tokens. Each image is a marker in them.
    pub tokens: Vec<i32>,
    /// About how many tokens the images take; their true number is known once they are encoded.
    pub image_tokens: usize,
}

impl PromptText {
    /// The number of tokens, images included.
    pub fn count(&self) -> usize {
        self.tokens.len() + self.image_tokens
    }
}

impl Prepared {
    /// Checks what the model can do, and leases it.
    pub(super) async fn new(app: &App, mut ask: Ask) -> Result<Self, Error> {
        let resolved = ResolvedModel::find(app, Capability::Completion, &ask.target).await?;
        let think = Think::choose(ask.think, ask.think_is_optional, &resolved.model)?;
        if !ask.tools.is_empty() {
            resolved.has_place_for_tools()?;
        }
        if !ask.images.is_empty() {
            resolved.sees_images()?;
        }
        let adapters = adapters::scales(&resolved.model, ask.adapters.as_deref())?;
        let lease = resolved.lease(app).await?;
        let times = RequestTimes::loaded(ask.target.arrived);
        let needs = Needs {
            tools: !ask.tools.is_empty(),
            thinking: think.is_asked && think.on == Some(true),
        };
        let (turns, after) = match &mut ask.template {
            TemplateChoice::Tokens(tokens) => (Vec::new(), std::mem::take(tokens)),
            _ => (ask.turns, ask.after),
        };
        let source = resolved
            .prompt_source(app, ask.template, &lease, needs)
            .await?;
        if ask.suffix.is_some() && !source.as_ref().is_some_and(PromptSource::takes_suffix) {
            return Err(Error::Invalid(format!(
                "'{}' does not support insert: its template has no place for a suffix",
                resolved.model.name
            )));
        }
        let turns = match (&source, after.is_empty()) {
            (Some(_), true) => joined(with_model_turns(turns, &resolved)),
            _ => turns,
        };
        let mut conversation = Conversation {
            turns,
            suffix: ask.suffix,
            think,
            tools: ask.tools,
            tool_choice: ask.tool_choice,
            parallel_tool_calls: ask.parallel_tool_calls,
            variables: ask.variables,
            images: ask.images,
        };
        conversation
            .images
            .draw_mark(&conversation.turns, &conversation.tools)?;
        let options = &resolved.options;
        let attempt = Attempt {
            label: ask.target.label,
            source,
            after,
            base: Generate {
                sampling: protocol::Sampling {
                    logit_bias: ask.biases,
                    ..options.sampling.clone()
                },
                max_tokens: options.max_tokens,
                context: Some(options.load.context),
                deterministic: ask.deterministic.unwrap_or(options.deterministic),
                stop: options.stop.clone(),
                adapters,
                constraint: ask.shape.map(|shape| Constraint { shape, after: None }),
                draft: options.draft,
                logprobs: ask.logprobs,
                ..Generate::new(Prompt::Tokens(Vec::new()))
            },
        };
        Ok(Self {
            attempt,
            conversation,
            overflow: ask.overflow,
            lease,
            times,
            resolved,
        })
    }

    /// Starts the answer. Only if the runner refuses the conversation as too long, its tokens are counted and turns dropped.
    pub(super) async fn begin(self) -> Result<Answer, Error> {
        let model = &self.attempt.label;
        let options = &self.resolved.options;
        let first = match self.overflow {
            Overflow::CutTokens => options.overflow,
            Overflow::Refuse | Overflow::DropTurns => protocol::Overflow::Refuse,
        };
        let may_drop =
            self.overflow == Overflow::DropTurns && options.overflow != protocol::Overflow::Refuse;
        // A sliding-window cache may overflow during prefill, so a conversation fits for certain when its first output comes.
        let until: fn(&Event) -> bool = match may_drop {
            true => Event::is_output,
            false => |_| true,
        };
        let call = self
            .attempt
            .to_call(&self.conversation, first, &self.lease)
            .await?;
        let (lease, error) =
            match Answer::begin(self.lease, model.clone(), call, self.times, until).await {
                Ok(answer) => return Ok(answer),
                Err(refused) => *refused,
            };
        let (Error::ContextOverflow { .. }, true, Some(source)) =
            (&error, may_drop, &self.attempt.source)
        else {
            return Err(error);
        };
        let context = options.load.context.min(lease.loaded().context);
        let shorter =
            prompt::shorten(&self.conversation, source, lease.runner(), model, context).await?;
        let call = self
            .attempt
            .to_call(&shorter.conversation, options.overflow, &lease)
            .await?;
        let answer = Answer::begin(lease, model.clone(), call, self.times, |_| true)
            .await
            .map_err(|refused| refused.1)?;
        Ok(answer.after_dropping(shorter.dropped))
    }

    /// The prompt as text and tokens.
    pub(super) async fn prompt(self) -> Result<PromptText, Error> {
        let (runner, label) = (self.lease.runner(), &self.attempt.label);
        let failed = |source| Error::runner(label, source);
        let prompt = match self.attempt.prompt(&self.conversation, &self.lease).await? {
            Prompt::Chat(template) => {
                Prompt::Rendered(runner.template(template).await.map_err(failed)?)
            }
            other => other,
        };
        let text = match &prompt {
            Prompt::Text { text, .. } => Some(text.clone()),
            Prompt::Rendered(rendered) => Some(rendered.text.clone()),
            Prompt::Tokens(_) | Prompt::Chat(_) => None,
        };
        let tokens = prompt::tokens(runner, label, prompt, true).await?;
        let text = match text {
            Some(text) => text,
            None => runner.detokenize(tokens.clone()).await.map_err(failed)?,
        };
        let turns = self.conversation.turns.iter();
        let images: usize = turns.map(|turn| turn.images().count()).sum();
        Ok(PromptText {
            text,
            tokens,
            image_tokens: images * images::TYPICAL_TOKENS,
        })
    }
}
