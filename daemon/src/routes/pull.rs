//! `POST /api/pull`: fetches a model.

use api::PullRequest;
use axum::extract::State;
use axum::response::Response;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, model_name};
use crate::jobs;

/// A stream of progress. *Cancel*: a second client joins the pull, and it ends when the last of them leaves.
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<PullRequest, SMALL>,
) -> Result<Response, Error> {
    let name = model_name(request.name())?;
    let App {
        registry, sources, ..
    } = app.clone();
    // Case does not tell models apart, so the same model is the same job however it is written.
    let key = format!("pull {}", name.full().to_ascii_lowercase());
    let lines = app.jobs.join_while_heard(key, move |reporter| async move {
        registry.pull(&name, &sources, &reporter).await?;
        Ok(jobs::success())
    });
    super::progress(lines, request.stream).await
}
