//! `POST /api/push`: pushes a model to a registry.

use api::{ErrorBody, Progress, PushFormat, PushRequest};
use axum::extract::State;
use axum::response::Response;
use registry::Digest;

use super::stream_progress;
use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, reference};
use crate::transfers::{TransferRequest, Work};

/// Pushes a model to a registry.
///
/// The answer is a stream of progress, with the pushed layers in the last line. A second client joins the push. *Detach* with
/// `background`, else *cancel*: the push ends when its last client disconnects.
#[utoipa::path(
    post,
    path = api::routes::PUSH,
    request_body = PushRequest,
    responses(
        (status = 200, description = "Lines of progress; with `stream: false` only the last one", content((Progress = "application/x-ndjson"), (Progress = "application/json"))),
        (status = "4XX", description = "A field is wrong, no model has this name, or the registry refuses it", body = ErrorBody),
        (status = "5XX", description = "The registry or the store failed", body = ErrorBody),
    ),
    tag = "Ollama"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<PushRequest, SMALL>,
) -> Result<Response, Error> {
    let source = reference(request.name())?.name;
    let destination = request.destination.as_deref().unwrap_or(request.name());
    let place = reference(destination)?;
    let insecure = request.insecure == Some(true);
    let format = request.format.unwrap_or(PushFormat::Ollama);
    // A missing model is an error now, not when the job starts.
    app.registry.model(&source).await?;
    let (from, to) = (source.full().to_ascii_lowercase(), place.name.full());
    let what = format!(
        "push {from} {to} {:?} {format:?} {insecure}",
        place.is_plain
    );
    let transfer = TransferRequest {
        key: Digest::of(what.as_bytes()).to_string(),
        model: source.to_string(),
        work: Work::Push {
            model: source.to_string(),
            destination: destination.to_owned(),
            format,
            insecure,
        },
        background: request.background == Some(true),
        priority: request.priority,
        now: request.now == Some(true),
    };
    let lines = app.transfers.ask(transfer).await?;
    stream_progress(lines, request.stream).await
}
