//! `GET /api/version`.

use api::VersionResponse;
use axum::Json;
use axum::extract::State;

use crate::app::App;

/// The versions of the daemon and of the API.
///
/// *Cancel*.
#[utoipa::path(
    get,
    path = api::routes::VERSION,
    responses(
        (status = 200, description = "The versions", body = VersionResponse),
    ),
    tag = "Ollama"
)]
pub(crate) async fn get(State(app): State<App>) -> Json<VersionResponse> {
    Json(VersionResponse {
        version: api::OLLAMA.to_owned(),
        slm: Some(crate::VERSION.to_owned()),
        home: app.shown_home(),
    })
}
