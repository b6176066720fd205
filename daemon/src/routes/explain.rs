//! `POST /slm/v1/explain`: what a pull would do.

use api::{ErrorBody, Explanation, ExplanationFile, PullRequest};
use axum::extract::State;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, reference, variant_of};

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
    let reference = variant_of(reference(request.name())?, request.variant.as_deref())?;
    let insecure = request.insecure == Some(true);
    let (reference, choice) = app.variants.decided(reference, insecure).await;
    let found = app
        .registry
        .explain(&reference, insecure, &app.sources.now())
        .await?;
    Ok(axum::Json(Explanation {
        model: found.name.to_string(),
        missing: found.missing(),
        place: found.place,
        steps: choice.into_iter().chain(found.steps).collect(),
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
