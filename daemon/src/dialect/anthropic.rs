//! Anthropic's API, under `/v1/messages`.

mod count_tokens;
mod error;
mod history;
mod messages;
pub mod models;
mod request;
mod request_id;
mod tools;
mod writer;

use axum::middleware;
use axum::routing::any;
use http::HeaderMap;

use crate::described::{Routes, routes};
use crate::error::Error;

pub(crate) use error::error;

/// The routes of this dialect.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(messages::post))
        .routes(routes!(count_tokens::post))
        .route(api::routes::MESSAGE_BATCHES, any(batches))
        .route(api::routes::MESSAGE_BATCH, any(batches))
        .map(|routes| routes.route_layer(middleware::from_fn(request_id::label)))
}

/// Whether a request is meant for this dialect: by its path, or by a header that all its clients send.
pub(crate) fn is_meant(path: &str, headers: &HeaderMap) -> bool {
    path.starts_with(api::routes::MESSAGES) || headers.contains_key("anthropic-version")
}

async fn batches() -> Error {
    Error::Unsupported("a batch of messages".to_owned())
}
