//! `/slm/v1/jobs`: lists, pauses, resumes, cancels and reorders jobs.

use api::{Job, JobKind, JobsResponse, Priority};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use registry::ModelName;
use serde::Deserialize;

use crate::app::App;
use crate::dialect::ollama::stream_progress;
use crate::error::Error;
use crate::extract::Path;
use crate::transfers::Change;

/// The query parameters of these routes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct JobQuery {
    all: bool,
    now: bool,
    remove: bool,
    priority: Option<Priority>,
}

type QueryResult = Result<Query<JobQuery>, QueryRejection>;

/// By id, the oldest first; finished jobs only with `all`. *Cancel*.
pub(crate) async fn get(
    State(app): State<App>,
    query: QueryResult,
) -> Result<Json<JobsResponse>, Error> {
    let all = read(query)?.all;
    let mut jobs = app.transfers.list().await?;
    jobs.retain(|job| all || !job.state.is_over());
    Ok(Json(JobsResponse { jobs }))
}

/// The progress of a job from its start. *Cancel*, as for the client that started the job.
pub(crate) async fn progress(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let lines = app.transfers.watch(parse(&id)?).await?;
    stream_progress(lines, None).await
}

/// Responds with the changed job. *Detach*.
pub(crate) async fn pause(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Job>, Error> {
    change(&app, &id, Change::Pause).await
}

/// Responds with the changed job, which is a background job then. *Detach*.
pub(crate) async fn resume(
    State(app): State<App>,
    Path(id): Path<String>,
    query: QueryResult,
) -> Result<Json<Job>, Error> {
    let now = read(query)?.now;
    change(&app, &id, Change::Resume { now }).await
}

/// Responds with the changed job. `remove` also removes partial blobs that no other job needs. *Detach*.
pub(crate) async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    query: QueryResult,
) -> Result<Json<Job>, Error> {
    let remove = read(query)?.remove;
    let job = change(&app, &id, Change::Cancel).await?;
    if remove
        && job.kind == JobKind::Pull
        && let Ok(name) = ModelName::parse(&job.model)
    {
        app.remove_partials(&name).await?;
    }
    Ok(job)
}

/// Responds with the changed job. *Detach*.
pub(crate) async fn priority(
    State(app): State<App>,
    Path(id): Path<String>,
    query: QueryResult,
) -> Result<Json<Job>, Error> {
    let priority = read(query)?.priority.ok_or_else(|| {
        Error::Invalid("priority is required: ?priority=high, normal or low".to_owned())
    })?;
    change(&app, &id, Change::Priority(priority)).await
}

async fn change(app: &App, id: &str, change: Change) -> Result<Json<Job>, Error> {
    app.transfers.change(parse(id)?, change).await.map(Json)
}

fn parse(id: &str) -> Result<u64, Error> {
    id.parse().map_err(|_| {
        Error::Invalid("the id of a job is a number, as GET /slm/v1/jobs shows it".into())
    })
}

fn read(query: QueryResult) -> Result<JobQuery, Error> {
    let query = query.map_err(|error| Error::Invalid(error.body_text()))?;
    Ok(query.0)
}
