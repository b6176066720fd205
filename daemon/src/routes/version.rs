//! `GET /api/version`.

use api::VersionResponse;
use axum::Json;

/// The version of this daemon. *Cancel*: there is nothing to go on.
pub(crate) async fn get() -> Json<VersionResponse> {
    Json(VersionResponse {
        version: crate::VERSION.to_owned(),
    })
}
