//! `GET /api/ps`: the models that are loaded.

use std::cmp::Reverse;

use api::PsResponse;
use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::wire;

/// Latest expiry first. *Cancel*.
pub(crate) async fn get(State(app): State<App>) -> Json<PsResponse> {
    let seen = app.scheduler.list().await;
    let mut models: Vec<_> = seen.into_iter().map(wire::loaded).collect();
    models.sort_by_key(|model| Reverse(model.expires_at));
    Json(PsResponse { models })
}
