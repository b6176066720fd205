//! Ollama's API, under `/api`.
//!
//! One file per route. Each states what happens when its client disconnects: *cancel* ends the work, *detach* continues it.

mod blobs;
mod chat;
mod chunk;
mod cloud;
mod copy;
mod create;
mod delete;
mod embed;
mod generate;
mod lines;
mod ps;
mod pull;
mod push;
mod reply;
mod request;
mod root;
mod show;
mod tags;
mod tools;
mod version;

use http::StatusCode;
use serde_json::{Value, json};

use crate::described::{Routes, routes};
use crate::error::Error;

pub(crate) use chat::read as read_chat;
pub(crate) use lines::stream_progress;

/// The routes of this dialect.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(root::get))
        .routes(routes!(version::get))
        .routes(routes!(tags::get))
        .routes(routes!(ps::get))
        .routes(routes!(show::post))
        .routes(routes!(generate::post))
        .routes(routes!(chat::post))
        .routes(routes!(embed::post))
        .routes(routes!(embed::post_one))
        .routes(routes!(pull::post))
        .routes(routes!(push::post))
        .routes(routes!(create::post))
        .routes(routes!(blobs::head, blobs::post))
        .routes(routes!(copy::post))
        .routes(routes!(delete::delete))
        .routes(routes!(cloud::status))
        .routes(routes!(cloud::me))
        .routes(routes!(cloud::sign_out))
        .routes(routes!(cloud::remove_key))
        .routes(routes!(cloud::web_search))
        .routes(routes!(cloud::web_fetch))
        .routes(routes!(cloud::recommendations))
}

/// Status and body of an error, with slm's code and hint.
pub(crate) fn error(error: &Error) -> (StatusCode, Value) {
    (error.status(), body(error))
}

/// The body alone, which is also the last line of a failed stream.
pub(crate) fn body(error: &Error) -> Value {
    let message = match error {
        // Clients look for these words.
        Error::Busy { .. } | Error::Full => {
            "server busy, please try again.  maximum pending requests exceeded".to_owned()
        }
        other => other.message(),
    };
    json!(api::ErrorBody {
        error: message,
        code: Some(error.code().to_owned()),
        hint: error.hint(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_server_has_the_words_of_ollama_and_its_own_code() {
        let (status, body) = error(&Error::Busy { waiting: 3 });
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            body["error"],
            "server busy, please try again.  maximum pending requests exceeded"
        );
        assert_eq!(body["code"], "busy");
    }
}
