//! `POST /api/pull`: fetches a model. `POST /api/explain`: says what that would do.

use api::{Explanation, ExplanationFile, Progress, PullRequest};
use axum::extract::State;
use axum::response::Response;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, reference};
use crate::jobs;

/// A stream of progress. *Cancel*: a second client joins the pull, and it ends when the last of them leaves.
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<PullRequest, SMALL>,
) -> Result<Response, Error> {
    let reference = reference(request.name())?;
    let insecure = request.insecure == Some(true);
    let App {
        registry, sources, ..
    } = app.clone();
    // Case does not tell models apart, so the same model is the same job however it is written.
    let (name, place) = (reference.name.full().to_ascii_lowercase(), &reference.place);
    let key = format!("pull {name} {place:?} {insecure}");
    let lines = app.jobs.join_while_heard(key, move |reporter| async move {
        registry
            .pull(&reference, insecure, &sources, &reporter)
            .await?;
        Ok(Progress {
            model: Some(reference.name.to_string()),
            ..jobs::success()
        })
    });
    super::progress(lines, request.stream).await
}

/// What a pull would do, without fetching weights. *Cancel*: it ends with the request.
pub(crate) async fn explain(
    State(app): State<App>,
    Json(request): Json<PullRequest, SMALL>,
) -> Result<axum::Json<Explanation>, Error> {
    let reference = reference(request.name())?;
    let insecure = request.insecure == Some(true);
    let found = app
        .registry
        .explain(&reference, insecure, &app.sources)
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
