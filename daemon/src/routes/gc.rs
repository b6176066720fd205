//! `POST /slm/v1/store/gc`: removes files of the store that nothing needs.

use api::{ErrorBody, GcReport};
use axum::Json;
use axum::extract::State;
use registry::ModelName;

use crate::app::App;
use crate::detached::detached;
use crate::error::Error;
use crate::wire;

/// Removes every blob that no model and no running operation needs, and unfinished downloads that no job continues.
///
/// The daemon removes such blobs by itself once a day, and unfinished downloads after a month. *Detach*.
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
    detached(collect(app)).await.map(Json)
}

async fn collect(app: App) -> Result<GcReport, Error> {
    let report = app.registry.gc().await?;
    let is_blocked = report.is_blocked();
    let mut report = wire::gc_report(report);
    if is_blocked {
        return Ok(report);
    }
    let (models, _) = app.left_downloads().await?;
    let names = models.iter().filter_map(|name| ModelName::parse(name).ok());
    for name in names {
        let bytes = app.registry.remove_partials(&name).await?;
        report.downloads += u64::from(bytes > 0);
        report.bytes = report.bytes.saturating_add(bytes);
    }
    Ok(report)
}
