//! What a failure looks like to a client.

use serde::{Deserialize, Serialize};

/// Body of every failed answer, and last line of a stream that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// For people: what failed and the thing it concerns.
    pub error: String,
    /// For machines: a stable name such as `model_not_found` (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The remedy, where there is one (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
