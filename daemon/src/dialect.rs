//! The dialects of the API: one folder for each.
//!
//! A dialect turns its bodies into an [`Ask`](crate::ask::Ask), gives that to [`crate::serve`], and writes the
//! [`Event`](crate::answer::Event)s of the answer as its clients expect them. It has routes and an error format
//! (`error::rendered`). It chooses no template and leases no model.

use http::HeaderMap;

use crate::described::Routes;
use crate::error::ErrorFormat;

pub mod anthropic;
mod context;
pub mod fields;
pub mod ollama;
pub mod openai;

/// The routes of all dialects.
pub(crate) fn routes() -> Routes {
    ollama::routes()
        .merge(openai::routes())
        .merge(anthropic::routes())
}

/// The error format of a request, by its path and headers. It also holds for paths without a route.
pub(crate) fn error_format(path: &str, headers: &HeaderMap) -> ErrorFormat {
    if anthropic::is_meant(path, headers) {
        return anthropic::error;
    }
    match path.starts_with("/v1/") && path != api::routes::RERANK_V1 {
        true => openai::error,
        false => ollama::error,
    }
}
