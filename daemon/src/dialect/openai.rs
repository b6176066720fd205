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
    let mut body = json!({
        "message": message(error),
        "type": kind,
        "param": error.param(),
        "code": code,
    });
    if let Error::ContextOverflow {
        prompt_tokens: Some(tokens),
        context: Some(context),
        ..
    } = error
    {
        body["n_prompt_tokens"] = json!(tokens);
        body["n_ctx"] = json!(context);
    }
    (status, json!({"error": body}))
}

/// The message of an error. Clients recognise a prompt that does not fit by the words of OpenAI and of llama.cpp.
fn message(error: &Error) -> String {
    let message = error.message();
    match error {
        Error::ContextOverflow {
            context: Some(context),
            ..
        } => format!(
            "{message}: this model's maximum context length is {context} tokens, and the prompt exceeds the available context size"
        ),
        _ => message,
    }
}
