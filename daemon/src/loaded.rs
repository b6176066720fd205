//! The loaded models, as the API lists them.

use std::cmp::Reverse;

use api::LoadedModel;

use crate::app::App;
use crate::scheduler::ModelSummary;
use crate::wire;

/// The loaded models, latest expiry first.
pub(crate) async fn models(app: &App) -> Vec<LoadedModel> {
    let mut models = Vec::new();
    for summary in app.scheduler.list().await {
        let removed = is_removed(app, &summary).await;
        models.push(wire::loaded(summary, removed));
    }
    models.sort_by_key(|model| Reverse(model.expires_at));
    models
}

/// The loaded model of this name.
pub(crate) async fn model(app: &App, name: &str) -> Option<LoadedModel> {
    let models = models(app).await;
    models.into_iter().find(|model| model.name == name)
}

/// Whether the name that a model was loaded by is gone, or belongs to another model by now.
async fn is_removed(app: &App, summary: &ModelSummary) -> bool {
    match app.registry.model(&summary.name).await {
        Ok(model) => model.key() != summary.key,
        Err(error) => matches!(error, registry::Error::NotFound { .. }),
    }
}
