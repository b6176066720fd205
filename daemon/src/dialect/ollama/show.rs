//! `POST /api/show`: one model in detail.

use api::{ErrorBody, ShowRequest, ShowResponse};
use axum::extract::State;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, model_name};
use crate::wire;

/// Describes a model in the store.
///
/// *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::SHOW,
    request_body = ShowRequest,
    responses(
        (status = 200, description = "The model", body = ShowResponse),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "Ollama"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<ShowRequest, SMALL>,
) -> Result<axum::Json<ShowResponse>, Error> {
    let name = model_name(request.name())?;
    let shown = app.registry.show(&name, request.verbose).await?;
    Ok(axum::Json(wire::show_response(shown, request.verbose)))
}
