//! `POST /v1/responses`: generates a response.

use api::openai::ErrorAnswer;
use api::openai::responses::{
    Response as ResponseBody, ResponseRequest, ResponseStatus, StreamEvent,
};
use axum::extract::State;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::json;
use tokio::time::Instant;

use super::request::{self, Plan};
use super::running::Running;
use crate::app::App;
use crate::budget::Share;
use crate::error::{Error, chain};
use crate::extract::{Json, LARGE};
use crate::responses::Place;
use crate::transport::sse;

/// Answers a conversation with items.
///
/// *Cancel*: the request leaves the queue, or its answer is cancelled. *Detach* with `background`.
#[utoipa::path(
    post,
    path = "/v1/responses",
    request_body = ResponseRequest,
    responses(
        (status = 200, description = "The response, or with `stream` its events", content((ResponseBody = "application/json"), (StreamEvent = "text/event-stream"))),
        (status = 400, description = "A field is wrong, or the prompt does not fit the context", body = ErrorAnswer),
        (status = 404, description = "No model or conversation has this name", body = ErrorAnswer),
        (status = 413, description = "The body is too large", body = ErrorAnswer),
        (status = 503, description = "The server is busy", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn post(
    State(app): State<App>,
    share: Share,
    Json(request): Json<ResponseRequest, LARGE>,
) -> Result<Response, Error> {
    let stream = request.stream == Some(true);
    let background = request.background == Some(true);
    if background && stream {
        return Err(Error::field("stream", "goes without background"));
    }
    let plan = request::read(&app, request).await?;
    if background {
        return in_background(app, share, plan).await;
    }
    if stream {
        return streamed(app, share, plan).await;
    }
    let running = Running::begin(&app, plan)
        .await
        .map_err(|(error, _)| error)?;
    let response = running.into_response().await?;
    Ok(axum::Json(response).into_response())
}

async fn streamed(app: App, share: Share, plan: Plan) -> Result<Response, Error> {
    let begun = Instant::now();
    let frames = async move {
        let running = match Running::begin(&app, plan).await {
            Ok(running) => running,
            // The response has begun by then, so an error is an event.
            Err((error, mut running)) if begun.elapsed() >= sse::PATIENCE => {
                running.fail(&error).await;
                *running
            }
            Err((error, _)) => return Err(error),
        };
        Ok(running.into_events().map(|event| frame(&event)))
    };
    sse::respond(share, frames, sse::comments(), failed).await
}

fn frame(event: &StreamEvent) -> Result<Event, Error> {
    let frame = Event::default().event(event.body.name());
    frame.json_data(event).map_err(|_| Error::Internal)
}

/// The event of an error outside of the response.
fn failed(error: &Error) -> Event {
    let body = json!({
        "type": "error",
        "sequence_number": 0,
        "code": error.code(),
        "message": error.message(),
        "param": error.param(),
    });
    Event::default().event("error").data(body.to_string())
}

async fn in_background(app: App, share: Share, mut plan: Plan) -> Result<Response, Error> {
    let response = plan.builder.response();
    if !response.store {
        let reason = "goes with saved responses: `store` must not be false, nor `responses` be off";
        return Err(Error::field("background", reason));
    }
    response.status = ResponseStatus::Queued;
    let response = response.clone();
    let place = app.responses.reserve(&response.id)?;
    if !app.responses.save(&response, &plan.input).await? {
        let reason = format!(
            "goes with responses that are saved, and this request alone has more than {} bytes, the limit of `responses`",
            app.responses.budget()
        );
        return Err(Error::field("background", reason));
    }
    app.responses.spawn({
        let (app, response) = (app.clone(), response.clone());
        generate(app, share, plan, response, place)
    });
    Ok(axum::Json(response).into_response())
}

/// Generates a response until it ends or is cancelled.
async fn generate(app: App, share: Share, plan: Plan, mut response: ResponseBody, place: Place) {
    let cancel = place.cancel();
    let begun = cancel.run_until_cancelled(Running::begin(&app, plan)).await;
    drop(share);
    match begun {
        Some(Ok(mut running)) => running.run(cancel).await,
        Some(Err((error, mut running))) => running.fail(&error).await,
        None => {
            response.status = ResponseStatus::Cancelled;
            if let Err(error) = app.responses.update(&response).await {
                tracing::warn!("cannot save a response: {}", chain(&error));
            }
        }
    }
}
