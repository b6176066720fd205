//! OpenAI's API, under `/v1`, with the fields that llama.cpp's server and Ollama add to it.

mod chat;
mod choices;
mod effort;
mod embeddings;
mod error;
mod format;
mod head;
mod logprobs;
mod messages;
mod models;
mod responses;
mod sampling;
mod tools;
mod usage;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(crate) use error::error;

/// The routes of this dialect.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(chat::post))
        .routes(routes!(embeddings::post))
        .routes(routes!(models::list))
        .routes(routes!(models::one))
        .merge(responses::routes())
}
