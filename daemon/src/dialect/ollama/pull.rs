//! `POST /api/pull`: pulls a model.

use api::{ErrorBody, Progress, PullRequest};
use axum::extract::State;
use axum::response::Response;
use registry::Digest;

use super::stream_progress;
use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, reference, variant_of};
use crate::transfers::{TransferRequest, Work};

/// Pulls a model.
///
/// The answer is a stream of progress. A second client joins the pull. *Detach* with `background`, else *cancel*: the pull ends
/// when its last client disconnects.
#[utoipa::path(
    post,
    path = api::routes::PULL,
    request_body = PullRequest,
    responses(
        (status = 200, description = "Lines of progress; with `stream: false` only the last one", content((Progress = "application/x-ndjson"), (Progress = "application/json"))),
        (status = "4XX", description = "A field is wrong, or no source has this model", body = ErrorBody),
        (status = "5XX", description = "The source or the store failed", body = ErrorBody),
    ),
    tag = "Ollama"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<PullRequest, SMALL>,
) -> Result<Response, Error> {
    let reference = variant_of(reference(request.name())?, request.variant.as_deref())?;
    let insecure = request.insecure == Some(true);
    // The case of a name does not matter, so all spellings of it are the same job.
    let (name, place) = (reference.name.full().to_ascii_lowercase(), &reference.place);
    let scheme = (reference.is_plain, reference.is_tls);
    let variant = reference.variant.as_ref();
    let variant = variant.map(|variant| variant.as_str().to_ascii_lowercase());
    let what = format!("pull {name} {place:?} {scheme:?} {insecure} {variant:?}");
    let transfer = TransferRequest {
        // A digest, because an address can have a secret in its query.
        key: Digest::of(what.as_bytes()).to_string(),
        model: reference.name.to_string(),
        work: Work::Pull {
            model: request.name().to_owned(),
            insecure,
            variant: request.variant.clone(),
        },
        background: request.background == Some(true),
        priority: request.priority,
        now: request.now == Some(true),
    };
    let lines = app.transfers.ask(transfer).await?;
    stream_progress(lines, request.stream).await
}
