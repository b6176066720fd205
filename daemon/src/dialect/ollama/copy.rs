//! `POST /api/copy`: gives a model a second name.

use api::CopyRequest;
use axum::extract::State;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, model_name};

/// No bytes are copied. *Detach*: the store finishes the copy.
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<CopyRequest, SMALL>,
) -> Result<(), Error> {
    let source = model_name(&request.source)?;
    let destination = model_name(&request.destination)?;
    Ok(app.registry.copy(&source, &destination).await?)
}
