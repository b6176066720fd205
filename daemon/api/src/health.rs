//! The answer of the health routes.

use serde::{Deserialize, Serialize};

/// Answer of `GET /health` and of the routes under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HealthResponse {
    /// `ok`. A daemon that stops answers with an error instead.
    pub status: String,
}

impl HealthResponse {
    /// A healthy daemon.
    pub fn ok() -> Self {
        Self {
            status: "ok".to_owned(),
        }
    }
}
