//! Responses of `generate` and `chat`, which differ only in their bodies.

use api::{DebugInfo, DoneReason, RenderedPrompt, Timings, Unload};
use axum::Json;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use registry::Capability;
use serde::Serialize;

use super::body;
use super::chunk::{Chunk, ChunkBuilder};
use crate::answer::{self, End, Finish};
use crate::app::App;
use crate::ask::Ask;
use crate::duration::{KeepAlive, nanos};
use crate::error::Error;
use crate::scheduler::Unloading;
use crate::serve;
use crate::transport::ndjson;
use crate::wire;

/// How an answer ended, for its last event.
pub(super) enum Outcome {
    /// The model answered.
    Answered(Box<End>),
    /// The model was loaded, and nothing was generated.
    Loaded(answer::Timings),
    /// The model was unloaded, or will be once it is idle.
    Unloaded(Unloading),
}

impl Outcome {
    pub(super) fn reason(&self) -> DoneReason {
        match self {
            Self::Answered(end) => match end.finish {
                Finish::Turn | Finish::StopText(_) | Finish::ToolCalls => DoneReason::Stop,
                Finish::Length => DoneReason::Length,
            },
            Self::Loaded(_) => DoneReason::Load,
            Self::Unloaded(_) => DoneReason::Unload,
        }
    }

    pub(super) fn timings(&self) -> Option<Timings> {
        match self {
            Self::Answered(end) => Some(Timings {
                prompt_eval_count: end.usage.prompt,
                prompt_eval_duration: nanos(end.timings.prefill),
                eval_count: end.usage.generated,
                eval_duration: nanos(end.timings.decode),
                cached_tokens: end.usage.cached,
                drafted_tokens: end.usage.drafted,
                accepted_tokens: end.usage.accepted,
                truncated_tokens: end.usage.truncated,
                truncated_messages: end.usage.dropped_turns,
                seed: Some(end.seed),
                ..durations(&end.timings)
            }),
            Self::Loaded(timings) => Some(durations(timings)),
            Self::Unloaded(_) => None,
        }
    }

    pub(super) fn unload(&self) -> Option<Unload> {
        match self {
            Self::Unloaded(unloading) => Some(wire::unload(*unloading)),
            Self::Answered(_) | Self::Loaded(_) => None,
        }
    }
}

fn durations(timings: &answer::Timings) -> Timings {
    Timings {
        total_duration: nanos(timings.total),
        load_duration: nanos(timings.load),
        ..Timings::default()
    }
}

/// Responds to a request. Without turns it loads the model, or with `keep_alive: 0` unloads it.
///
/// `event` makes the body of one event, and of the last one if it gets an outcome.
pub(super) async fn reply<E: Serialize + Send + 'static>(
    app: &App,
    ask: Ask,
    stream: Option<bool>,
    event: impl Fn(Chunk, Option<Outcome>) -> E + Send + 'static,
) -> Result<Response, Error> {
    let is_whole = stream == Some(false);
    if ask.turns.is_empty() {
        let outcome = match ask.target.keep_alive.is_some_and(KeepAlive::is_zero) {
            true => Outcome::Unloaded(serve::unload(app, &ask.target.model, false).await?),
            false => {
                let capability = Some(Capability::Completion);
                Outcome::Loaded(serve::load(app, &ask.target, capability).await?)
            }
        };
        let event = event(Chunk::default(), Some(outcome));
        return Ok(match is_whole {
            true => Json(event).into_response(),
            false => lines(futures::stream::iter([Ok(event)])),
        });
    }
    let answer = serve::answer(app, ask).await?;
    let mut builder = ChunkBuilder::default();
    if is_whole {
        let mut batches = std::pin::pin!(answer.into_stream());
        let mut whole = Chunk::default();
        while let Some(batch) = batches.next().await {
            let (chunk, end) = builder.join(batch?)?;
            whole.append(chunk);
            if let Some(end) = end {
                return Ok(Json(event(whole, Some(Outcome::Answered(end)))).into_response());
            }
        }
        return Err(Error::Internal);
    }
    let batches = answer.with_output().await?.into_stream();
    let events = batches.flat_map(move |batch| {
        let events = match batch.and_then(|batch| builder.join(batch)) {
            Ok((chunk, end)) => {
                let more = (!chunk.is_empty()).then(|| Ok(event(chunk, None)));
                let end = end.map(Outcome::Answered);
                [more, end.map(|end| Ok(event(Chunk::default(), Some(end))))]
            }
            Err(error) => [Some(Err(error)), None],
        };
        futures::stream::iter(events.into_iter().flatten())
    });
    Ok(lines(events))
}

/// Responds with the prompt that the model would read.
pub(super) async fn rendered(app: &App, model: &str, ask: Ask) -> Result<Response, Error> {
    let images: usize = ask.turns.iter().map(|turn| turn.images().count()).sum();
    let prompt = serve::prompt(app, ask).await?;
    let answer = RenderedPrompt {
        model: model.to_owned(),
        created_at: Timestamp::now(),
        debug_info: DebugInfo {
            rendered_template: prompt.text,
            image_count: u32::try_from(images).unwrap_or(u32::MAX),
        },
    };
    Ok(Json(answer).into_response())
}

fn lines<E: Serialize>(events: impl Stream<Item = Result<E, Error>> + Send + 'static) -> Response {
    ndjson::stream(events, body)
}
