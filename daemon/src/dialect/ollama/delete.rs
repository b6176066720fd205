//! `DELETE /api/delete`: removes a name, and the blobs that no other manifest names.

use api::{DeleteRequest, ErrorBody};
use axum::extract::State;
use registry::{Model, ModelName};

use crate::app::App;
use crate::detached::detached;
use crate::error::Error;
use crate::extract::{Json, SMALL, model_name};
use crate::scheduler::Which;

/// Removes a name, and the blobs that no other name needs.
///
/// Pulls of the name are cancelled, and their partial blobs are removed. If the weights were removed, the model is unloaded after
/// its last request; weights of another name stay loaded. *Detach*: the store finishes the removal.
#[utoipa::path(
    delete,
    path = api::routes::DELETE,
    request_body = DeleteRequest,
    responses(
        (status = 200, description = "The name is removed"),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "Ollama"
)]
pub(crate) async fn delete(
    State(app): State<App>,
    Json(request): Json<DeleteRequest, SMALL>,
) -> Result<(), Error> {
    let name = model_name(request.name())?;
    detached(remove(app, name)).await
}

async fn remove(app: App, name: ModelName) -> Result<(), Error> {
    // A damaged model cannot be read, but it can be removed.
    let model = app.registry.model(&name).await.ok();
    let pulls = app.transfers.cancel_pulls(&name).await?;
    if pulls > 0 {
        app.remove_partials(&name).await?;
    }
    let report = match app.registry.remove(&name).await {
        // The name had only a pull.
        Err(registry::Error::NotFound { .. }) if pulls > 0 => return Ok(()),
        removed => removed?,
    };
    app.scheduler.unpin(Which::Name(name.clone())).await;
    let blobs = report.removed.len();
    tracing::info!(model = %name, blobs, bytes = report.bytes, "removed");
    let is_gone = |model: &Model| {
        let mut weights = model.weights();
        weights.any(|layer| report.removed.contains(&layer.digest))
    };
    if let Some(model) = model.filter(is_gone) {
        app.scheduler.unload(Which::Key(model.key()), true).await;
    }
    Ok(())
}
