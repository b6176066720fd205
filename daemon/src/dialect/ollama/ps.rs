//! `GET /api/ps`: the loaded models.

use api::PsResponse;
use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::loaded;

/// Lists the loaded models, the latest expiry first.
///
/// *Cancel*.
#[utoipa::path(
    get,
    path = api::routes::PS,
    responses(
        (status = 200, description = "The loaded models", body = PsResponse),
    ),
    tag = "Ollama"
)]
pub(crate) async fn get(State(app): State<App>) -> Json<PsResponse> {
    let models = loaded::models(&app).await;
    Json(PsResponse { models })
}
