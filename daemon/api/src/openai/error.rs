//! The body of an error.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of every error, and last event of a stream that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorAnswer {
    /// The error.
    pub error: ErrorFields,
}

/// An error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorFields {
    /// What failed, and the field, model or file that it concerns.
    pub message: String,
    /// `invalid_request_error` for an error of the request, `server_error` for any other.
    #[serde(rename = "type")]
    pub kind: String,
    /// The field of the request that is wrong, if it is one field.
    pub param: Option<String>,
    /// Stable code, such as `model_not_found` and `context_length_exceeded`.
    pub code: Option<String>,
    /// The remedy, if there is one (slm).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// With `context_length_exceeded`: tokens of the prompt, if they were counted (llama.cpp).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_prompt_tokens: Option<u32>,
    /// With `context_length_exceeded`: the context in tokens (llama.cpp).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_ctx: Option<u32>,
}
