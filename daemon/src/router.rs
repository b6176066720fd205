//! The router with all routes. Tests call it without a socket.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use http::{Method, Uri};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::app::App;
use crate::budget::{self, Budget};
use crate::described::Routes;
use crate::dialect;
use crate::error::{self, Error};
use crate::ignored::{self, Logged};
use crate::origin_check::{self, LiveCheck};
use crate::path;
use crate::routes;

/// All routes, behind the origin check.
pub fn router(app: App, origin_check: impl Into<LiveCheck>) -> Router {
    // A layer of the routes sees a request after its route is chosen, so paths are corrected outside of them.
    let routes = behind(origin_check.into(), all().into_router())
        .with_state(app)
        .map_request(path::tidy);
    Router::new().fallback_service(routes)
}

/// The routes of all dialects and of slm itself, with their descriptions.
pub(crate) fn all() -> Routes {
    dialect::routes().merge(routes::routes())
}

/// These routes with the layers that all routes have.
fn behind(origin_check: LiveCheck, routes: Router<App>) -> Router<App> {
    routes
        .method_not_allowed_fallback(async |method: Method| Error::Method(method.to_string()))
        .fallback(async |uri: Uri| Error::NoRoute(uri.path().chars().take(200).collect()))
        .layer(middleware::from_fn_with_state(
            Budget::default(),
            budget::lend,
        ))
        .layer(middleware::from_fn_with_state(
            Logged::default(),
            ignored::report,
        ))
        .layer(middleware::from_fn(log))
        // The origin check comes before any other layer reads the request.
        .layer(middleware::from_fn_with_state(
            origin_check,
            origin_check::check,
        ))
        .layer(middleware::from_fn(render_error))
}

/// Writes an error as the dialect of its request does.
async fn render_error(request: Request, next: Next) -> Response {
    let format = dialect::error_format(request.uri().path(), request.headers());
    error::rendered(next.run(request).await, format)
}

/// Logs method, path, status and time of each request, and no content.
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
