//! Errors.

use serde::Serialize;
use utoipa::ToSchema;

/// The body of an error.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = anthropic::Error)]
pub struct Error {
    /// Always `error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What is wrong.
    pub error: ErrorDetail,
    /// Id of the request, `req_…`; also in the header `request-id`.
    pub request_id: String,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// `invalid_request_error`, `permission_error`, `not_found_error`, `request_too_large`, `timeout_error`, `overloaded_error` or
    /// `api_error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The message for people, with its remedy.
    pub message: String,
}
