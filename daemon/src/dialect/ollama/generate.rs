//! `POST /api/generate`: continues a prompt; without one it loads or unloads the model.

use api::{ErrorBody, GenerateEvent, GenerateRequest, Think};
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use tokio::time::Instant;

use super::chunk::Chunk;
use super::reply::{Outcome, rendered, reply};
use super::request;
use crate::app::App;
use crate::ask::{Ask, Overflow, TemplateChoice};
use crate::blocking;
use crate::dialect::fields;
use crate::error::Error;
use crate::extract::{Json, LARGE};
use crate::images::Images;
use crate::turn::{Block, Role, Turn};

/// Continues a prompt; without one it loads or unloads the model.
///
/// *Cancel*: the request leaves the queue, or its answer is cancelled.
#[utoipa::path(
    post,
    path = api::routes::GENERATE,
    request_body = GenerateRequest,
    responses(
        (status = 200, description = "The answer, event by event; with `stream: false` one event, and with `_debug_render_only` the prompt", content((GenerateEvent = "application/x-ndjson"), (GenerateEvent = "application/json"))),
        (status = "4XX", description = "A field is wrong, no model has this name, or the prompt does not fit the context", body = ErrorBody),
        (status = "5XX", description = "The model cannot be loaded, its runner failed, or the server is busy", body = ErrorBody),
    ),
    tag = "Ollama"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<GenerateRequest, LARGE>,
) -> Result<Response, Error> {
    let arrived = Instant::now();
    let (model, stream) = (request.model.clone(), request.stream);
    let keep_tokens = request.raw != Some(true);
    let only_render = request.debug_render_only == Some(true);
    let ask = read(arrived, request).await?;
    if only_render && !ask.turns.is_empty() {
        return rendered(&app, &model, ask).await;
    }
    reply(&app, ask, stream, move |chunk, outcome| {
        event(&model, keep_tokens, chunk, outcome)
    })
    .await
}

async fn read(arrived: Instant, request: GenerateRequest) -> Result<Ask, Error> {
    check(&request)?;
    let (prompt, given) = (request.prompt, request.images);
    let bytes = given.iter().flatten().map(String::len).sum();
    let (blocks, images) = blocking::run_sized(bytes, || {
        let mut images = Images::default();
        request::blocks(prompt, given, &mut images).map(|blocks| (blocks, images))
    })
    .await??;
    let shape = request::shape(request.format.as_ref())?;
    let logprobs = fields::logprobs(request.logprobs, request.top_logprobs)?;
    let target = fields::target(
        arrived,
        &request.model,
        request.options.as_ref(),
        request.keep_alive.as_ref(),
    )?;
    let turns = turns(request.system, blocks);
    if turns.is_empty() {
        // A request that only loads or unloads may have any other fields, as clients send the same ones each time.
        return Ok(Ask::new(target, turns));
    }
    Ok(Ask {
        images,
        template: match request.template {
            _ if request.raw == Some(true) => TemplateChoice::Raw,
            Some(text) if !text.is_empty() => TemplateChoice::Given(text),
            _ => TemplateChoice::Model,
        },
        suffix: request.suffix.filter(|suffix| !suffix.is_empty()),
        after: request.context.unwrap_or_default(),
        think: request::think(request.think.as_ref())?,
        shape,
        logprobs,
        biases: fields::biases(request.logit_bias.as_ref())?,
        adapters: fields::adapters(request.lora.as_deref()),
        overflow: match (request.truncate, request.shift) {
            (Some(false), _) | (_, Some(false)) => Overflow::Refuse,
            _ => Overflow::CutTokens,
        },
        deterministic: request.deterministic,
        ..Ask::new(target, turns)
    })
}

/// The turns of an optional system prompt and the prompt; no turns for an empty prompt.
/// An empty system prompt counts as absent, because clients send one.
fn turns(system: Option<String>, blocks: Vec<Block>) -> Vec<Turn> {
    if blocks == [Block::Text(String::new())] {
        return Vec::new();
    }
    let system = system.filter(|text| !text.is_empty());
    let system = system.map(|text| Turn::text(Role::System, text));
    let prompt = Turn {
        role: Role::User,
        blocks,
    };
    system.into_iter().chain([prompt]).collect()
}

/// Refuses fields that contradict each other.
fn check(request: &GenerateRequest) -> Result<(), Error> {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let goes_on = request
        .context
        .as_ref()
        .is_some_and(|tokens| !tokens.is_empty());
    if request.raw == Some(true) {
        let others = [
            ("template", given(&request.template)),
            ("system", given(&request.system)),
            ("suffix", given(&request.suffix)),
            ("context", goes_on),
            (
                "think",
                !matches!(request.think, None | Some(Think::Switch(false))),
            ),
        ];
        if let Some((field, _)) = others.iter().find(|(_, given)| *given) {
            return Err(Error::Invalid(format!("raw goes without {field}")));
        }
    }
    if given(&request.suffix) && goes_on {
        return Err(Error::Invalid("suffix goes without context".into()));
    }
    // Image markers need a text prompt and a template that prints them.
    let shows = request.images.as_ref().is_some_and(|it| !it.is_empty());
    for (field, is_given) in [("context", goes_on), ("suffix", given(&request.suffix))] {
        if shows && is_given {
            return Err(Error::Invalid(format!("images go without {field}")));
        }
    }
    Ok(())
}

fn event(
    model: &str,
    keep_tokens: bool,
    mut chunk: Chunk,
    outcome: Option<Outcome>,
) -> GenerateEvent {
    GenerateEvent {
        model: model.to_owned(),
        created_at: Timestamp::now(),
        thinking: chunk.take_thinking(),
        logprobs: chunk.take_logprobs(),
        response: chunk.text,
        done: outcome.is_some(),
        done_reason: outcome.as_ref().map(Outcome::reason),
        unload: outcome.as_ref().and_then(Outcome::unload),
        timings: outcome.as_ref().and_then(Outcome::timings),
        context: match outcome {
            Some(Outcome::Answered(end)) if keep_tokens => Some(end.tokens),
            _ => None,
        },
    }
}
