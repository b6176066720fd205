//! `POST /v1/messages`: continues a conversation.

use api::anthropic::{Error as ErrorBody, Message, MessagesRequest, StreamEvent};
use axum::extract::State;
use axum::response::sse::Event as Frame;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures::StreamExt;
use tokio::time::Instant;

use super::error;
use super::request;
use super::request_id::RequestId;
use super::writer::{Asked, Collector, Writer};
use crate::answer::Event;
use crate::app::App;
use crate::ask::Ask;
use crate::budget::Share;
use crate::error::Error;
use crate::extract::{self, LARGE};
use crate::ignored::IgnoredFields;
use crate::serve;
use crate::transport::sse;

/// Continues a conversation; with `stream` as server-sent events.
///
/// *Cancel*: the request leaves the queue, or its answer is cancelled.
#[utoipa::path(
    post,
    path = api::routes::MESSAGES,
    tag = "Anthropic",
    request_body = MessagesRequest,
    responses(
        (status = 200, description = "The answer, or with `stream` its events.", content((Message = "application/json"), (StreamEvent = "text/event-stream"))),
        (status = "4XX", body = ErrorBody, description = "The request is wrong, or names a model that is not here."),
        (status = "5XX", body = ErrorBody, description = "The model failed; 529 when the server is busy."),
    )
)]
pub(super) async fn post(
    State(app): State<App>,
    share: Share,
    ignored: IgnoredFields,
    Extension(id): Extension<RequestId>,
    extract::Json(request): extract::Json<MessagesRequest, LARGE>,
) -> Result<Response, Error> {
    let arrived = Instant::now();
    let is_stream = request.stream == Some(true);
    let asked = asked(&request);
    let ask = request::ask(arrived, request, &ignored).await?;
    match is_stream {
        true => stream(app, share, ask, asked, id).await,
        false => whole(&app, ask, asked).await,
    }
}

fn asked(request: &MessagesRequest) -> Asked {
    let display = request
        .thinking
        .as_ref()
        .and_then(|thinking| thinking.display.as_deref());
    Asked {
        model: request.model.clone(),
        stop_sequences: request.stop_sequences.clone().unwrap_or_default(),
        max_tokens: request.max_tokens,
        omits_thinking: display == Some("omitted"),
    }
}

async fn whole(app: &App, ask: Ask, asked: Asked) -> Result<Response, Error> {
    let mut writer = Writer::new(asked);
    let mut collector = Collector::default();
    let mut batches = std::pin::pin!(serve::answer(app, ask).await?.into_stream());
    while let Some(batch) = batches.next().await {
        for event in batch? {
            writer
                .write(event)?
                .into_iter()
                .for_each(|event| collector.add(event));
        }
    }
    let message = collector.finish().ok_or(Error::Internal)?;
    Ok(Json(message).into_response())
}

async fn stream(
    app: App,
    share: Share,
    ask: Ask,
    asked: Asked,
    id: RequestId,
) -> Result<Response, Error> {
    let begin = async move {
        let answer = serve::answer(&app, ask).await?.with_output().await?;
        let mut writer = Writer::new(asked);
        Ok(answer
            .into_stream()
            .flat_map(move |batch| futures::stream::iter(written(&mut writer, batch))))
    };
    let failed = move |failure: &Error| frame(&error::body(failure, &id).into());
    sse::respond(share, begin, sse::pings(frame(&StreamEvent::Ping)), failed).await
}

/// The frames of a batch, up to an error.
fn written(writer: &mut Writer, batch: Result<Vec<Event>, Error>) -> Vec<Result<Frame, Error>> {
    let events = match batch {
        Ok(events) => events,
        Err(error) => return vec![Err(error)],
    };
    let mut frames = Vec::new();
    for event in events {
        match writer.write(event) {
            Ok(written) => frames.extend(written.iter().map(frame).map(Ok)),
            Err(error) => {
                frames.push(Err(error));
                break;
            }
        }
    }
    frames
}

fn frame(event: &StreamEvent) -> Frame {
    let data = serde_json::to_string(event).expect("events are plain data with text keys");
    Frame::default().event(event.name()).data(data)
}
