//! Answers requests of all dialects. No other module leases a model for a request.

mod resolved;
mod vectors;

use registry::{Capability, ModelName};
use runner_protocol::{self as protocol, Constraint, Generate, Prompt};

use crate::answer::{Answer, Event, RequestTimes, Timings};
use crate::app::App;
use crate::ask::{Ask, Overflow, Target};
use crate::error::Error;
use crate::prompt::{self, Conversation, Needs, PromptSource};
use crate::scheduler::{Lease, Unloading};
use crate::think::Think;
use crate::turn::{Role, Turn};

use resolved::ResolvedModel;
pub use vectors::{embed, rerank};

/// Leases the model of a request and starts the answer. Dropping the answer cancels it.
///
/// # Errors
/// When the model does not exist or cannot do what is asked, the load fails, or the prompt does not fit the context.
pub async fn answer(app: &App, ask: Ask) -> Result<Answer, Error> {
    let resolved = ResolvedModel::find(app, Capability::Completion, &ask.target).await?;
    let think = Think::choose(ask.think, &resolved.model)?;
    if !ask.tools.is_empty() {
        resolved.has_place_for_tools()?;
    }
    if !ask.images.is_empty() {
        resolved.sees_images()?;
    }
    let adapters = resolved.model.adapters().count();
    let adapter_scales = ask
        .adapters
        .as_deref()
        .map(|scales| all_scales(scales, adapters))
        .transpose()?;
    let lease = resolved.lease(app).await?;
    let times = RequestTimes::loaded(ask.target.arrived);
    let needs = Needs {
        tools: !ask.tools.is_empty(),
        thinking: think.is_asked && think.on == Some(true),
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
    let turns = match (&source, ask.after.is_empty()) {
        (Some(_), true) => with_model_turns(ask.turns, &resolved),
        _ => ask.turns,
    };
    let mut conversation = Conversation {
        turns,
        suffix: ask.suffix,
        think,
        tools: ask.tools,
        tool_choice: ask.tool_choice,
        images: ask.images,
    };
    conversation
        .images
        .draw_mark(&conversation.turns, &conversation.tools)?;
    let options = &resolved.options;
    let request = Request {
        label: ask.target.label,
        source,
        after: ask.after,
        base: Generate {
            sampling: protocol::Sampling {
                logit_bias: ask.biases,
                ..options.sampling.clone()
            },
            max_tokens: options.max_tokens,
            context: Some(options.load.context),
            deterministic: ask.deterministic.unwrap_or(options.deterministic),
            stop: options.stop.clone(),
            adapter_scales,
            constraint: ask.shape.map(|shape| Constraint { shape, after: None }),
            draft: options.draft,
            logprobs: ask.logprobs,
            ..Generate::new(Prompt::Tokens(Vec::new()))
        },
    };
    begin(
        &request,
        &resolved,
        &conversation,
        ask.overflow,
        lease,
        times,
    )
    .await
}

/// Starts the answer. Only if the runner refuses the conversation as too long, its tokens are counted and turns dropped.
async fn begin(
    request: &Request,
    resolved: &ResolvedModel,
    conversation: &Conversation,
    overflow: Overflow,
    lease: Lease,
    times: RequestTimes,
) -> Result<Answer, Error> {
    let model = &request.label;
    let options = &resolved.options;
    let first = match overflow {
        Overflow::CutTokens => options.overflow,
        Overflow::Refuse | Overflow::DropTurns => protocol::Overflow::Refuse,
    };
    let may_drop =
        overflow == Overflow::DropTurns && options.overflow != protocol::Overflow::Refuse;
    // A sliding-window cache may overflow during prefill, so a conversation fits for certain when its first output comes.
    let until: fn(&Event) -> bool = match may_drop {
        true => Event::is_output,
        false => |_| true,
    };
    let call = request.to_call(conversation, first, &lease).await?;
    let (lease, error) = match Answer::begin(lease, model.clone(), call, times, until).await {
        Ok(answer) => return Ok(answer),
        Err(refused) => *refused,
    };
    let (Error::ContextOverflow(_), true, Some(source)) = (&error, may_drop, &request.source)
    else {
        return Err(error);
    };
    let context = options.load.context.min(lease.loaded().context);
    let shorter = prompt::shorten(conversation, source, lease.runner(), model, context).await?;
    let call = request
        .to_call(&shorter.conversation, options.overflow, &lease)
        .await?;
    let answer = Answer::begin(lease, model.clone(), call, times, |_| true)
        .await
        .map_err(|refused| refused.1)?;
    Ok(answer.after_dropping(shorter.dropped))
}

/// What all tries to start one answer have in common.
struct Request {
    /// The name of the model, for messages.
    label: String,
    /// `None` for a raw prompt.
    source: Option<PromptSource>,
    /// Tokens that the prompt continues.
    after: Vec<i32>,
    /// The call, without prompt and images.
    base: Generate,
}

impl Request {
    /// The call of the runner for this conversation.
    async fn to_call(
        &self,
        conversation: &Conversation,
        overflow: protocol::Overflow,
        lease: &Lease,
    ) -> Result<Generate, Error> {
        let (mut prompt, read_as) = match &self.source {
            None => (conversation.to_raw_prompt(), None),
            Some(source) => {
                let read_as = conversation.read_as(source)?;
                (conversation.to_prompt(source).await?, read_as)
            }
        };
        if !self.after.is_empty() {
            let new = prompt::tokens(lease.runner(), &self.label, prompt, false).await?;
            prompt = Prompt::Tokens([self.after.as_slice(), &new].concat());
        }
        Ok(Generate {
            // The runner parses the answer to a `Prompt::Chat` by that conversation.
            read_as: match prompt {
                Prompt::Chat(_) => None,
                _ => read_as.map(Box::new),
            },
            prompt,
            overflow,
            images: conversation.images(),
            ..self.base.clone()
        })
    }
}

/// The turns with the model's messages before them, and with its system prompt, unless they begin with one.
fn with_model_turns(mut turns: Vec<Turn>, resolved: &ResolvedModel) -> Vec<Turn> {
    let model = &resolved.model;
    let leading = turns
        .iter()
        .take_while(|turn| turn.role == Role::System)
        .count();
    let others = turns.split_off(leading);
    if turns.is_empty() {
        let own = model.system.iter().filter(|text| !text.is_empty());
        turns.extend(own.map(|text| Turn::text(Role::System, text)));
    }
    let own = model.messages.iter();
    turns.extend(own.map(|message| Turn::text(role(message.role), &message.content)));
    turns.extend(others);
    turns
}

fn role(role: modelfile::Role) -> Role {
    match role {
        modelfile::Role::System => Role::System,
        modelfile::Role::User => Role::User,
        modelfile::Role::Assistant => Role::Assistant,
    }
}

/// The scales of all adapters of a model, in order; 0 for an adapter that the request does not name.
fn all_scales(scales: &[(u32, f32)], adapters: usize) -> Result<Vec<f32>, Error> {
    let mut all = vec![None; adapters];
    for (id, scale) in scales {
        let slot = usize::try_from(*id).ok().and_then(|id| all.get_mut(id));
        let slot = slot.ok_or_else(|| {
            Error::Invalid(format!(
                "lora names the adapter {id}, but the model has {adapters}, counted from 0"
            ))
        })?;
        if slot.replace(*scale).is_some() {
            return Err(Error::Invalid(format!("lora names the adapter {id} twice")));
        }
    }
    Ok(all.into_iter().map(Option::unwrap_or_default).collect())
}

/// Loads a model and generates nothing.
///
/// # Errors
/// When the model does not exist or cannot be loaded.
pub async fn load(app: &App, target: &Target) -> Result<Timings, Error> {
    let resolved = ResolvedModel::find(app, Capability::Completion, target).await?;
    drop(resolved.lease(app).await?);
    Ok(RequestTimes::loaded(target.arrived).timings())
}

/// Unloads the model of this name once it is idle. If that model is not loaded, unloads the model that was loaded by this name,
/// whose name is gone or damaged or belongs to another model by now.
///
/// # Errors
/// When no model has this name, and none was loaded by it.
pub async fn unload(app: &App, name: &ModelName) -> Result<Unloading, Error> {
    let found = app.registry.model(name).await;
    let mut unloading = Unloading::NotLoaded;
    if let Ok(model) = &found {
        unloading = app.scheduler.unload(model.key()).await;
    }
    if unloading == Unloading::NotLoaded {
        unloading = app.scheduler.unload_named(name.clone()).await;
    }
    match (unloading, found) {
        (Unloading::NotLoaded, Err(error)) => Err(error.into()),
        (unloading, _) => Ok(unloading),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_without_a_scale_is_off() {
        assert_eq!(
            all_scales(&[(2, 0.5), (0, 1.0)], 3).unwrap(),
            [1.0, 0.0, 0.5]
        );
        assert_eq!(all_scales(&[], 3).unwrap(), [0.0; 3]);
    }

    #[test]
    fn an_unknown_adapter_and_a_second_scale_are_errors() {
        let refusal = |scales: &[(u32, f32)]| all_scales(scales, 1).unwrap_err().to_string();
        assert!(refusal(&[(1, 1.0)]).contains("the adapter 1"));
        assert!(refusal(&[(0, 1.0), (0, 2.0)]).contains("twice"));
    }
}
