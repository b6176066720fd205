//! `POST /slm/v1/explain`: what a pull would do.

use api::{ErrorBody, Explanation, ExplanationFile, PullRequest};
use axum::extract::State;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, reference};

/// Lists the files that a pull would fetch, and from where.
///
/// *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::EXPLAIN,
    request_body = PullRequest,
    responses(
        (status = 200, description = "The files", body = Explanation),
        (status = "4XX", description = "A field is wrong, or no source has this model", body = ErrorBody),
        (status = "5XX", description = "The source failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<PullRequest, SMALL>,
) -> Result<axum::Json<Explanation>, Error> {
    let reference = reference(request.name())?;
    let insecure = request.insecure == Some(true);
    let found = app
        .registry
        .explain(&reference, insecure, &app.sources.now())
        .await?;
    Ok(axum::Json(Explanation {
        model: found.name.to_string(),
        missing: found.missing(),
        place: found.place,
        steps: found.steps,
        files: found
            .files
            .into_iter()
            .map(|file| ExplanationFile {
                title: file.title,
                size: file.size,
                digest: file.digest.map(|digest| digest.to_string()),
                here: file.here,
            })
            .collect(),
    }))
}
