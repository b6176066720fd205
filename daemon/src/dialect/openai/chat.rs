//! `POST /v1/chat/completions`: continues a conversation.

mod read;
mod stream;
mod whole;

use api::openai::{ChatAnswer, ChatChunk, ChatRequest, ErrorAnswer};
use axum::Json as JsonBody;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::head::Head;
use super::{choices, error};
use crate::answer::Event;
use crate::app::App;
use crate::budget::Share;
use crate::error::Error;
use crate::extract::{Json, LARGE};
use crate::ignored::IgnoredFields;
use crate::transport::sse;

/// Answers a conversation.
///
/// *Cancel*: the request leaves the queue, or its answers are cancelled.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    request_body = ChatRequest,
    responses(
        (status = 200, description = "The answer, or with `stream` its chunks", content((ChatAnswer = "application/json"), (ChatChunk<'static> = "text/event-stream"))),
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
    ignored: IgnoredFields,
    Json(request): Json<ChatRequest, LARGE>,
) -> Result<Response, Error> {
    let head = Head::new("chatcmpl", request.model.as_deref().unwrap_or_default());
    let streams = request.stream == Some(true);
    let plan = read::read(request).await?;
    ignored.add(plan.left_out);
    let names = plan.names;
    let style = plan.style;
    share.copy(plan.count, "n")?;
    let asks = choices::of(plan.ask, plan.count)?;
    let count = asks.len();
    if !streams {
        let batches = choices::answer(&app, asks);
        let answer = whole::collect(head, style, &names, count, batches).await?;
        return Ok(JsonBody(answer).into_response());
    }
    let begin = async move {
        let batches = choices::answer(&app, asks);
        // Chunks with progress come before the first output.
        let is_first: fn(&Event) -> bool = match style.progress {
            true => |_| true,
            false => Event::is_output,
        };
        let batches = choices::with_first(batches, is_first).await?;
        Ok(stream::frames(head, style, names, count, Box::pin(batches)))
    };
    sse::respond(share, begin, sse::comments(), error::event).await
}

/// What the answer shows.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// Whether a stream ends with the token counts.
    usage: bool,
    /// Whether the end has timings.
    timings: bool,
    /// Whether a stream begins with the progress of prefill.
    progress: bool,
    /// Whether the request had `functions`, so that the call is in `function_call`.
    functions: bool,
}

/// The `finish_reason` of a choice.
fn finish_reason(finish: &crate::answer::Finish, has_call: bool, style: Style) -> &'static str {
    match (finish, has_call) {
        (crate::answer::Finish::Length, _) => "length",
        (_, true) if style.functions => "function_call",
        (_, true) => "tool_calls",
        (_, false) => "stop",
    }
}
