//! `/slm/v1/jobs`: lists, pauses, resumes, cancels and reorders jobs.

use api::{ErrorBody, Job, JobKind, JobsResponse, Priority, Progress};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use registry::ModelName;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::App;
use crate::detached::detached;
use crate::dialect::ollama::stream_progress;
use crate::error::Error;
use crate::extract::{Path, Query};
use crate::transfers::Change;

/// Which jobs the list has.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobsQuery {
    /// Whether it also has finished jobs.
    all: bool,
}

/// How a job resumes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResumeQuery {
    /// Whether it waits neither for the window nor for an unmetered network.
    now: bool,
}

/// What a cancelled job leaves.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CancelQuery {
    /// Whether its bytes are removed.
    remove: bool,
}

/// The new priority of a job.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PriorityQuery {
    /// Its rank in the queue.
    #[param(required = true)]
    priority: Option<Priority>,
}

/// Lists the jobs by id, the oldest first.
///
/// *Cancel*.
#[utoipa::path(
    get,
    path = api::routes::JOBS,
    params(JobsQuery),
    responses(
        (status = 200, description = "The jobs", body = JobsResponse),
        (status = "4XX", description = "A parameter is wrong", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn get(
    State(app): State<App>,
    Query(JobsQuery { all }): Query<JobsQuery>,
) -> Result<Json<JobsResponse>, Error> {
    let mut jobs = app.transfers.list().await?;
    jobs.retain(|job| all || !job.state.is_over());
    Ok(Json(JobsResponse { jobs }))
}

/// The progress of a job from its start, and then as it happens.
///
/// *Cancel*, as for the client that started the job.
#[utoipa::path(
    get,
    path = api::routes::JOB_PROGRESS,
    params(("id" = u64, Path, description = "The id of the job")),
    responses(
        (status = 200, description = "Lines of progress", body = Progress, content_type = "application/x-ndjson"),
        (status = "4XX", description = "No job has this id", body = ErrorBody),
        (status = "5XX", description = "The job failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn progress(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let lines = app.transfers.watch(parse(&id)?).await?;
    stream_progress(lines, None).await
}

/// Pauses a job and keeps its bytes.
///
/// *Detach*.
#[utoipa::path(
    post,
    path = api::routes::JOB_PAUSE,
    params(("id" = u64, Path, description = "The id of the job")),
    responses(
        (status = 200, description = "The job", body = Job),
        (status = "4XX", description = "No job has this id, or its state does not allow this", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn pause(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Job>, Error> {
    change(&app, &id, Change::Pause).await
}

/// Resumes a job, which is a background job then.
///
/// *Detach*.
#[utoipa::path(
    post,
    path = api::routes::JOB_RESUME,
    params(("id" = u64, Path, description = "The id of the job"), ResumeQuery),
    responses(
        (status = 200, description = "The job", body = Job),
        (status = "4XX", description = "No job has this id, or its state does not allow this", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn resume(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(ResumeQuery { now }): Query<ResumeQuery>,
) -> Result<Json<Job>, Error> {
    change(&app, &id, Change::Resume { now }).await
}

/// Cancels a job.
///
/// `remove` also removes partial blobs that no other job needs. *Detach*.
#[utoipa::path(
    post,
    path = api::routes::JOB_CANCEL,
    params(("id" = u64, Path, description = "The id of the job"), CancelQuery),
    responses(
        (status = 200, description = "The job", body = Job),
        (status = "4XX", description = "No job has this id, or its state does not allow this", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(CancelQuery { remove }): Query<CancelQuery>,
) -> Result<Json<Job>, Error> {
    let cancelled = async move {
        let job = change(&app, &id, Change::Cancel).await?;
        if remove
            && job.kind == JobKind::Pull
            && let Ok(name) = ModelName::parse(&job.model)
        {
            app.remove_partials(&name).await?;
        }
        Ok(job)
    };
    detached(cancelled).await
}

/// Changes the priority of a job.
///
/// *Detach*.
#[utoipa::path(
    post,
    path = api::routes::JOB_PRIORITY,
    params(("id" = u64, Path, description = "The id of the job"), PriorityQuery),
    responses(
        (status = 200, description = "The job", body = Job),
        (status = "4XX", description = "No job has this id, or its state does not allow this", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn priority(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<PriorityQuery>,
) -> Result<Json<Job>, Error> {
    let priority = query.priority.ok_or_else(|| {
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
