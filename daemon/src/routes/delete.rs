//! `DELETE /api/delete`: removes a name, and the blobs that nothing names any more.

use api::DeleteRequest;
use axum::extract::State;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, model_name};
use crate::scheduler;

/// A loaded model leaves memory when its requests are over; another name of the same weights is loaded again when it is
/// asked for. *Detach*: the store finishes what it began.
pub(crate) async fn delete(
    State(app): State<App>,
    Json(request): Json<DeleteRequest, SMALL>,
) -> Result<(), Error> {
    let name = model_name(&request.model)?;
    // A damaged model cannot be read, and can be removed all the same.
    let key = app
        .registry
        .model(&name)
        .await
        .ok()
        .map(|model| scheduler::key_of(&model));
    let removed = app.registry.remove(&name).await?;
    tracing::info!(model = %name, blobs = removed.removed, bytes = removed.bytes, "removed");
    if let Some(key) = key {
        app.scheduler.unload(key).await;
    }
    Ok(())
}
