//! The body of a failure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of every error status, and last line of a stream that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// Message: what failed, and the model or file that it concerns.
    pub error: String,
    /// Stable code such as `model_not_found` (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The remedy, if there is one (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
