//! The loaded models, as the API lists them.

use std::cmp::Reverse;

use api::LoadedModel;
use registry::ModelName;

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

/// The loaded model that this name stands for. It may have been loaded by another name of the same weights.
pub(crate) async fn model(app: &App, name: &ModelName) -> Option<LoadedModel> {
    let key = app.registry.model(name).await.ok().map(|model| model.key());
    let loaded = app.scheduler.list().await;
    let of_key = loaded.iter().find(|it| Some(&it.key) == key.as_ref());
    let of_name = || loaded.iter().find(|it| it.name == *name);
    let summary = of_key.or_else(of_name)?.clone();
    let removed = is_removed(app, &summary).await;
    Some(wire::loaded(summary, removed))
}

/// Whether the name that a model was loaded by is gone, or belongs to another model by now.
async fn is_removed(app: &App, summary: &ModelSummary) -> bool {
    match app.registry.model(&summary.name).await {
        Ok(model) => model.key() != summary.key,
        Err(error) => matches!(error, registry::Error::NotFound { .. }),
    }
}
