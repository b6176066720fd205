//! OpenAI's API, under `/v1`.

mod responses;

use http::StatusCode;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::error::Error;

/// The routes of this dialect.
pub(crate) fn routes() -> OpenApiRouter<App> {
    responses::routes()
}

/// Status and body of an error.
pub(crate) fn error(error: &Error) -> (StatusCode, Value) {
    let status = error.status();
    let kind = match status.is_client_error() {
        true => "invalid_request_error",
        false => "server_error",
    };
    let code = match error {
        Error::ContextOverflow { .. } => "context_length_exceeded",
        error => error.code(),
    };
    let body = json!({"error": {
        "message": error.message(),
        "type": kind,
        "param": error.param(),
        "code": code,
    }});
    (status, body)
}
