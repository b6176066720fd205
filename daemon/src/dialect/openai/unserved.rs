//! Routes of OpenAI that slm does not serve: each answers with an error in this dialect's format.

use api::openai::{ErrorAnswer, ErrorFields};
use axum::Json;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use http::{StatusCode, Uri};

use crate::app::App;
use crate::described::Routes;

/// First parts of paths under `/v1/`, with what OpenAI serves there.
const ROUTES: [(&str, &str); 20] = [
    ("assistants", "assistants"),
    ("audio", "speech and transcription"),
    ("batches", "batches"),
    ("chatkit", "ChatKit"),
    ("containers", "containers"),
    ("edits", "edits"),
    ("evals", "evaluations"),
    ("files", "files"),
    ("fine_tuning", "fine-tuning"),
    ("fine-tunes", "fine-tuning"),
    ("images", "images"),
    ("moderations", "moderation"),
    ("organization", "administration"),
    ("projects", "administration"),
    ("realtime", "realtime sessions"),
    ("skills", "skills"),
    ("threads", "threads"),
    ("uploads", "uploads"),
    ("vector_stores", "vector stores"),
    ("videos", "videos"),
];

/// Routes for all of them.
pub(super) fn routes() -> Routes {
    let mut routes = Routes::new().route(
        "/v1/chat/completions/{*rest}",
        refusal("stored chat completions"),
    );
    for (path, what) in ROUTES {
        routes = routes
            .route(&format!("/v1/{path}"), refusal(what))
            .route(&format!("/v1/{path}/{{*rest}}"), refusal(what));
    }
    routes
}

fn refusal(what: &'static str) -> MethodRouter<App> {
    any(move |uri: Uri| async move { refuse(what, &uri) })
}

fn refuse(what: &str, uri: &Uri) -> Response {
    let path: String = uri.path().chars().take(200).collect();
    let error = ErrorFields {
        message: format!("slm does not serve {what} ({path})"),
        kind: "invalid_request_error".to_owned(),
        code: Some("not_served".to_owned()),
        hint: Some("slm serves /v1/chat/completions, /v1/responses, /v1/completions, /v1/embeddings and /v1/models".to_owned()),
        ..ErrorFields::default()
    };
    (StatusCode::NOT_FOUND, Json(ErrorAnswer { error })).into_response()
}
