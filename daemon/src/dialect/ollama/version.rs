//! `GET /api/version`.

use api::VersionResponse;
use axum::Json;
use axum::extract::State;

use crate::app::App;

/// The version of this daemon, and its home. *Cancel*.
pub(crate) async fn get(State(app): State<App>) -> Json<VersionResponse> {
    Json(VersionResponse {
        version: crate::VERSION.to_owned(),
        home: app.home,
    })
}
