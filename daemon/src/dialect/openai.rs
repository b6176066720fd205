//! OpenAI's API, under `/v1`, with the fields that llama.cpp's server and Ollama add to it.

mod chat;
mod choices;
mod completions;
mod effort;
mod embeddings;
mod error;
mod format;
mod head;
mod inputs;
mod logprobs;
mod messages;
mod models;
mod responses;
mod sampling;
mod tools;
mod unserved;
mod usage;

use crate::described::{Routes, routes};

pub(crate) use error::error;

/// The routes of this dialect.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(models::list))
        .routes(routes!(models::one))
        .routes(routes!(chat::post))
        .routes(routes!(completions::post))
        .routes(routes!(embeddings::post))
        .merge(unserved::routes())
        .merge(responses::routes())
}
