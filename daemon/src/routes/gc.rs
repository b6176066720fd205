//! `POST /slm/v1/store/gc`: removes files of the store that nothing needs.

use api::{ErrorBody, GcReport};
use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::error::Error;
use crate::wire;

/// Removes every blob that no model and no running operation needs.
///
/// The daemon does so by itself once a day. *Detach*.
#[utoipa::path(
    post,
    path = api::routes::GC,
    responses(
        (status = 200, description = "What was removed, or why nothing was", body = GcReport),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn post(State(app): State<App>) -> Result<Json<GcReport>, Error> {
    let report = app.registry.gc().await?;
    Ok(Json(wire::gc_report(report)))
}
