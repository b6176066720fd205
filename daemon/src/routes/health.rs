//! `GET /health`, `/health/live` and `/health/ready`: for supervisors, load balancers and clients of llama-server.

use api::{ErrorBody, HealthResponse};
use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::error::Error;

/// Says whether the daemon accepts work.
///
/// The store is open, the scheduler runs, and no stop has begun. *Cancel*.
#[utoipa::path(
    get,
    path = "/health",
    responses(
        (status = 200, description = "The daemon accepts work", body = HealthResponse),
        (status = 503, description = "The daemon stops", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn health(State(app): State<App>) -> Result<Json<HealthResponse>, Error> {
    answer(&app)
}

/// Says that the process answers requests, even while it stops.
///
/// *Cancel*.
#[utoipa::path(
    get,
    path = "/health/live",
    responses((status = 200, description = "The daemon answers requests", body = HealthResponse)),
    tag = "slm"
)]
pub(crate) async fn live() -> Json<HealthResponse> {
    Json(HealthResponse::ok())
}

/// The same as `/health`.
///
/// *Cancel*.
#[utoipa::path(
    get,
    path = "/health/ready",
    responses(
        (status = 200, description = "The daemon accepts work", body = HealthResponse),
        (status = 503, description = "The daemon stops", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn ready(State(app): State<App>) -> Result<Json<HealthResponse>, Error> {
    answer(&app)
}

/// The routes are served only after the store is opened, so only the scheduler and a stop count.
fn answer(app: &App) -> Result<Json<HealthResponse>, Error> {
    if app.operations.is_stopping() || !app.scheduler.is_running() {
        return Err(Error::Stopping);
    }
    Ok(Json(HealthResponse::ok()))
}
