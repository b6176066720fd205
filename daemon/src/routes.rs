//! Routes of slm itself, beside those of the dialects. One file per route.
//!
//! Each states what happens when its client disconnects: *cancel* ends the work, *detach* continues it.

mod adopt;
mod explain;
mod health;
mod jobs;
mod login;
mod rerank;
mod search;
mod verify;

use axum::Extension;
use axum::routing::{get, post};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::error::Error;
use crate::listen::Peer;

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .route(api::routes::RERANK, post(rerank::post))
        .route(api::routes::RERANK_V1, post(rerank::post))
        .route(api::routes::EXPLAIN, post(explain::post))
        .route(api::routes::LOGIN, post(login::login))
        .route(api::routes::LOGOUT, post(login::logout))
        .route(api::routes::LOGINS, post(login::list))
        .route(api::routes::SEARCH, post(search::post))
        .route(api::routes::JOBS, get(jobs::get))
        .route(api::routes::JOB_PROGRESS, get(jobs::progress))
        .route(api::routes::JOB_PAUSE, post(jobs::pause))
        .route(api::routes::JOB_RESUME, post(jobs::resume))
        .route(api::routes::JOB_CANCEL, post(jobs::cancel))
        .route(api::routes::JOB_PRIORITY, post(jobs::priority))
        .route(api::routes::VERIFY, post(verify::post))
        .route(api::routes::ADOPT, post(adopt::post))
}

/// Refuses a request that did not come over the Unix socket.
fn on_socket(peer: Option<Extension<Peer>>, route: &'static str) -> Result<(), Error> {
    match peer {
        Some(Extension(Peer::Unix)) => Ok(()),
        _ => Err(Error::UnixOnly(route)),
    }
}
