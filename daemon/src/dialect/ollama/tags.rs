//! `GET /api/tags`: the models in the store.

use api::{ErrorBody, TagsResponse};
use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::error::Error;
use crate::wire;

/// Lists the models in the store, the newest first.
///
/// A damaged model is listed as damaged. *Cancel*.
#[utoipa::path(
    get,
    path = api::routes::TAGS,
    responses(
        (status = 200, description = "The models", body = TagsResponse),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "Ollama"
)]
pub(crate) async fn get(State(app): State<App>) -> Result<Json<TagsResponse>, Error> {
    let models = app.registry.list().await?;
    Ok(Json(TagsResponse {
        models: models.into_iter().map(wire::summary).collect(),
    }))
}
