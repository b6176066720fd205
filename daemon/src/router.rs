//! All routes in one value, so that a test can call them without a socket.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, head, post};
use http::{Method, Uri};
use tokio::time::Instant;

use crate::app::App;
use crate::budget::{self, Budget};
use crate::error::Error;
use crate::guard::{self, Guard};
use crate::routes;

/// The service as HTTP, behind its guard.
pub fn router(app: App, guard: Guard) -> Router {
    Router::new()
        .route(api::routes::ROOT, get(routes::root::get))
        .route(api::routes::VERSION, get(routes::version::get))
        .route(api::routes::TAGS, get(routes::tags::get))
        .route(api::routes::PS, get(routes::ps::get))
        .route(api::routes::SHOW, post(routes::show::post))
        .route(api::routes::GENERATE, post(routes::generate::post))
        .route(api::routes::CHAT, post(routes::chat::post))
        .route(api::routes::EMBED, post(routes::embed::post))
        .route(api::routes::EMBEDDINGS, post(routes::embed::post_one))
        .route(api::routes::RERANK, post(routes::rerank::post))
        .route(api::routes::RERANK_V1, post(routes::rerank::post))
        .route(api::routes::PULL, post(routes::pull::post))
        .route(api::routes::EXPLAIN, post(routes::pull::explain))
        .route(api::routes::PUSH, post(routes::push::post))
        .route(api::routes::LOGIN, post(routes::login::login))
        .route(api::routes::LOGOUT, post(routes::login::logout))
        .route(api::routes::LOGINS, post(routes::login::list))
        .route(api::routes::SEARCH, post(routes::search::post))
        .route(api::routes::JOBS, get(routes::jobs::get))
        .route(api::routes::JOB_PROGRESS, get(routes::jobs::progress))
        .route(api::routes::JOB_PAUSE, post(routes::jobs::pause))
        .route(api::routes::JOB_RESUME, post(routes::jobs::resume))
        .route(api::routes::JOB_CANCEL, post(routes::jobs::cancel))
        .route(api::routes::JOB_PRIORITY, post(routes::jobs::priority))
        .route(api::routes::CREATE, post(routes::create::post))
        .route(
            api::routes::BLOB,
            head(routes::blobs::head).post(routes::blobs::post),
        )
        .route(api::routes::COPY, post(routes::copy::post))
        .route(api::routes::DELETE, delete(routes::delete::delete))
        .route(api::routes::VERIFY, post(routes::verify::post))
        .route(api::routes::ADOPT, post(routes::adopt::post))
        .method_not_allowed_fallback(async |method: Method| Error::Method(method.to_string()))
        .fallback(async |uri: Uri| Error::NoRoute(uri.path().chars().take(200).collect()))
        .with_state(app)
        .layer(middleware::from_fn_with_state(
            Budget::default(),
            budget::lend,
        ))
        .layer(middleware::from_fn(log))
        // Outermost: nothing is looked at before it is known who asks.
        .layer(middleware::from_fn_with_state(guard, guard::check))
}

/// One line per request: method, path, status and time, and nothing of what was said.
async fn log(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(200).collect();
    let start = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    tracing::debug!(%method, path, status, took = ?start.elapsed(), "answered");
    response
}

#[cfg(test)]
mod tests;
