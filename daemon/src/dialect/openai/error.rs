//! The error format of this dialect.

use api::openai::{ErrorAnswer, ErrorFields};
use axum::response::sse::Event;
use http::StatusCode;
use serde_json::{Value, json};

use crate::error::Error;

/// Status and body of an error.
pub(crate) fn error(error: &Error) -> (StatusCode, Value) {
    (error.status(), json!(body(error)))
}

/// The last event of a stream that failed.
pub(super) fn event(error: &Error) -> Event {
    Event::default().data(json!(body(error)).to_string())
}

fn body(error: &Error) -> ErrorAnswer {
    let kind = match error.status().is_client_error() {
        true => "invalid_request_error",
        false => "server_error",
    };
    let code = match error {
        Error::ContextOverflow { .. } => "context_length_exceeded",
        error => error.code(),
    };
    let (n_prompt_tokens, n_ctx) = match error {
        Error::ContextOverflow {
            prompt_tokens,
            context,
            ..
        } => (*prompt_tokens, *context),
        _ => (None, None),
    };
    ErrorAnswer {
        error: ErrorFields {
            message: message(error),
            kind: kind.to_owned(),
            param: error.param().map(str::to_owned),
            code: Some(code.to_owned()),
            hint: hint(error),
            n_prompt_tokens,
            n_ctx,
        },
    }
}

/// The message of an error. Clients recognise a prompt that does not fit by the words of OpenAI and of llama.cpp.
pub(super) fn message(error: &Error) -> String {
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

fn hint(error: &Error) -> Option<String> {
    match error {
        // This dialect has no field by which a prompt is cut.
        Error::ContextOverflow { .. } => {
            Some("raise num_ctx of the request or its model, or shorten the prompt".to_owned())
        }
        error => error.hint(),
    }
}
