//! Errors in Anthropic's format.

use api::anthropic::{Error as Body, ErrorDetail};
use http::StatusCode;
use serde_json::{Value, json};

use super::request_id::RequestId;
use crate::error::Error;

/// The status with which Anthropic's API refuses requests while it is overloaded.
const OVERLOADED: u16 = 529;

/// Status and body of an error outside of this dialect's routes.
pub(crate) fn error(error: &Error) -> (StatusCode, Value) {
    with_id(error, &RequestId::new())
}

/// Status and body of an error.
pub(super) fn with_id(error: &Error, id: &RequestId) -> (StatusCode, Value) {
    (status(error), json!(body(error, id)))
}

/// The body alone, which is also the last event of a failed stream.
pub(super) fn body(error: &Error, id: &RequestId) -> Body {
    Body {
        kind: "error",
        error: ErrorDetail {
            kind: kind(status(error)),
            message: message(error),
        },
        request_id: id.0.clone(),
    }
}

fn status(error: &Error) -> StatusCode {
    match error.status() {
        StatusCode::SERVICE_UNAVAILABLE => {
            StatusCode::from_u16(OVERLOADED).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
        }
        status => status,
    }
}

fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::REQUEST_TIMEOUT => "timeout_error",
        status if status.as_u16() == OVERLOADED => "overloaded_error",
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    }
}

/// The message with its hint. Claude Code shortens a conversation when it reads the words `prompt is too long`.
fn message(error: &Error) -> String {
    match error {
        Error::ContextOverflow {
            prompt_tokens: Some(tokens),
            context: Some(context),
            ..
        } => format!("prompt is too long: {tokens} tokens > {context} maximum"),
        Error::ContextOverflow { message, .. } => format!("prompt is too long: {message}"),
        other => match other.hint() {
            Some(hint) => format!("{}; {hint}", other.message()),
            None => other.message(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: &Error, status: u16, kind: &str, words: &str) {
        let (code, body) = super::error(error);
        assert_eq!(
            (code.as_u16(), &body["error"]["type"]),
            (status, &json!(kind))
        );
        assert_eq!(body["type"], "error");
        assert!(body["request_id"].as_str().unwrap().starts_with("req_"));
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }

    #[test]
    fn the_status_gives_the_type() {
        let invalid = Error::Invalid("why".into());
        check(&invalid, 400, "invalid_request_error", "why");
        let missing = Error::ModelNotFound("m:latest".into());
        check(&missing, 404, "not_found_error", "`slm list`");
        check(
            &Error::Busy { waiting: 3 },
            529,
            "overloaded_error",
            "3 requests",
        );
        check(&Error::Internal, 500, "api_error", "ended early");
        check(
            &Error::TooLarge { limit: 5 },
            413,
            "request_too_large",
            "5 bytes",
        );
        check(
            &Error::UnixOnly("x"),
            403,
            "permission_error",
            "Unix socket",
        );
    }

    #[test]
    fn a_long_prompt_has_the_words_that_clients_look_for() {
        let overflow = |tokens, context| Error::ContextOverflow {
            message: "the prompt does not fit".into(),
            prompt_tokens: tokens,
            context,
        };
        let words = "prompt is too long: 70 tokens > 64 maximum";
        check(
            &overflow(Some(70), Some(64)),
            400,
            "invalid_request_error",
            words,
        );
        let words = "prompt is too long: the prompt does not fit";
        check(&overflow(None, None), 400, "invalid_request_error", words);
    }
}
