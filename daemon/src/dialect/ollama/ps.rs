//! `GET /api/ps`: the loaded models.

use std::cmp::Reverse;

use api::PsResponse;
use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::scheduler::ModelSummary;
use crate::wire;

/// Latest expiry first. *Cancel*.
#[utoipa::path(
    get,
    path = api::routes::PS,
    responses(
        (status = 200, description = "The loaded models", body = PsResponse),
    ),
    tag = "Ollama"
)]
pub(crate) async fn get(State(app): State<App>) -> Json<PsResponse> {
    let mut models = Vec::new();
    for summary in app.scheduler.list().await {
        let removed = is_removed(&app, &summary).await;
        models.push(wire::loaded(summary, removed));
    }
    models.sort_by_key(|model| Reverse(model.expires_at));
    Json(PsResponse { models })
}

/// Whether the name that a model was loaded by is gone, or belongs to another model by now.
async fn is_removed(app: &App, summary: &ModelSummary) -> bool {
    match app.registry.model(&summary.name).await {
        Ok(model) => model.key() != summary.key,
        Err(error) => matches!(error, registry::Error::NotFound { .. }),
    }
}
