//! `POST /v1/completions`: continues prompts.

mod read;
mod stream;
mod whole;

use read::Asks;

use api::openai::{CompletionAnswer, CompletionLogprobs, CompletionRequest, ErrorAnswer};
use axum::extract::State;
use axum::response::Response;
use runner_protocol::Logprob;
use serde_json::{Map, Value};

use super::head::{FINGERPRINT, Head};
use super::{choices, error, logprobs};
use crate::answer::Event;
use crate::answer::Finish;
use crate::app::App;
use crate::budget::Share;
use crate::error::Error;
use crate::extract::{Json, LARGE};
use crate::transport::sse;

/// Continues prompts.
///
/// *Cancel*: the request leaves the queue, or its answers are cancelled.
#[utoipa::path(
    post,
    path = "/v1/completions",
    request_body = CompletionRequest,
    responses(
        (status = 200, description = "The answer, or with `stream` its chunks", content((CompletionAnswer<'static> = "application/json"), (CompletionAnswer<'static> = "text/event-stream"))),
        (status = 400, description = "A field is wrong, or the prompt does not fit the context", body = ErrorAnswer),
        (status = 404, description = "No model has this name", body = ErrorAnswer),
        (status = 413, description = "The body is too large", body = ErrorAnswer),
        (status = 500, description = "The model cannot be loaded, or its runner failed", body = ErrorAnswer),
        (status = 503, description = "The server is busy", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn post(
    State(app): State<App>,
    share: Share,
    Json(request): Json<CompletionRequest, LARGE>,
) -> Result<Response, Error> {
    let head = Head::new("cmpl", request.model.as_deref().unwrap_or_default());
    let streams = request.stream == Some(true);
    let plan = read::read(&share, request)?;
    let style = plan.style;
    if !streams {
        let Asks { asks, echoes } = plan.asks(&app).await?;
        let batches = choices::answer(&app, asks);
        return whole::collect(&head, style, echoes, batches).await;
    }
    let begin = async move {
        let Asks { asks, echoes } = plan.asks(&app).await?;
        let batches = choices::answer(&app, asks);
        let batches = choices::with_first(batches, Event::is_output).await?;
        Ok(stream::frames(head, style, echoes, Box::pin(batches)))
    };
    sse::respond(share, begin, sse::comments(), error::event).await
}

/// What the answer shows.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// Choices of each prompt.
    per_prompt: usize,
    /// Whether a stream ends with the token counts.
    usage: bool,
    /// Whether the end has timings.
    timings: bool,
}

impl Style {
    /// Whether a choice is the first one of its prompt.
    fn counts_prompt(self, index: usize) -> bool {
        index.is_multiple_of(self.per_prompt)
    }
}

fn finish_reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Length => "length",
        Finish::Turn | Finish::StopText(_) | Finish::ToolCalls => "stop",
    }
}

/// The logprobs of tokens, of which the first begins at `offset` of the text. The offset moves behind the last one.
fn shown(found: Vec<Logprob>, offset: &mut usize) -> CompletionLogprobs {
    let mut shown = CompletionLogprobs::default();
    for Logprob { chosen, top } in found {
        let token = logprobs::text(&chosen);
        shown.text_offset.push(*offset);
        *offset += token.chars().count();
        shown.tokens.push(token);
        shown.token_logprobs.push(chosen.logprob);
        if !top.is_empty() {
            let top = top
                .iter()
                .map(|other| (logprobs::text(other), Value::from(other.logprob)));
            let tops = shown.top_logprobs.get_or_insert_default();
            tops.push(top.collect::<Map<String, Value>>());
        }
    }
    shown
}

fn empty(head: &Head) -> CompletionAnswer<'_> {
    CompletionAnswer {
        id: &head.id,
        object: "text_completion",
        created: head.created,
        model: &head.model,
        system_fingerprint: FINGERPRINT,
        choices: Vec::new(),
        usage: None,
        timings: None,
    }
}
