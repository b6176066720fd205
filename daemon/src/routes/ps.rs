//! `GET /api/ps`: the models that are loaded.

use std::cmp::Reverse;

use api::PsResponse;
use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::scheduler::Seen;
use crate::wire;

/// Latest expiry first. *Cancel*.
pub(crate) async fn get(State(app): State<App>) -> Json<PsResponse> {
    let mut models = Vec::new();
    for seen in app.scheduler.list().await {
        let removed = is_removed(&app, &seen).await;
        models.push(wire::loaded(seen, removed));
    }
    models.sort_by_key(|model| Reverse(model.expires_at));
    Json(PsResponse { models })
}

/// Whether the name that a model was loaded by is gone, or another model's by now.
async fn is_removed(app: &App, seen: &Seen) -> bool {
    match app.registry.model(&seen.name).await {
        Ok(model) => model.key() != seen.key,
        Err(error) => matches!(error, registry::Error::NotFound { .. }),
    }
}
