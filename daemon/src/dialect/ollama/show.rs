//! `POST /api/show`: one model in detail.

use api::{ShowRequest, ShowResponse};
use axum::extract::State;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, model_name};
use crate::wire;

/// All details of a model. *Cancel*.
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<ShowRequest, SMALL>,
) -> Result<axum::Json<ShowResponse>, Error> {
    let name = model_name(request.name())?;
    let shown = app.registry.show(&name, request.verbose).await?;
    Ok(axum::Json(wire::show_response(shown, request.verbose)))
}
