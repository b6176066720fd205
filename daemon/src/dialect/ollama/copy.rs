//! `POST /api/copy`: gives a model a second name.

use api::{CopyRequest, ErrorBody};
use axum::extract::State;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, model_name};

/// Gives a model a second name.
///
/// No bytes are copied. *Detach*: the store finishes the copy.
#[utoipa::path(
    post,
    path = api::routes::COPY,
    request_body = CopyRequest,
    responses(
        (status = 200, description = "The model has both names"),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "Ollama"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<CopyRequest, SMALL>,
) -> Result<(), Error> {
    let source = model_name(&request.source)?;
    let destination = model_name(&request.destination)?;
    Ok(app.registry.copy(&source, &destination).await?)
}
