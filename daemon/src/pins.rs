//! Loads and pins the models that the configuration pins, at the start and when it changes.

use modelfile::Parameters;
use registry::ModelName;
use tokio::time::Instant;

use crate::app::App;
use crate::ask::Target;
use crate::serve;

/// Pins and unpins as the configuration says, until the task is dropped.
///
/// A pin of a client is not touched. A model that cannot be loaded is tried again at the next change of the configuration.
pub(crate) async fn follow(app: App) {
    let mut changes = app.config.subscribe();
    let mut pinned: Vec<ModelName> = Vec::new();
    loop {
        let config = changes.borrow_and_update().clone();
        let wanted: Vec<ModelName> = config.models.pinned().cloned().collect();
        for name in pinned.extract_if(.., |name| !wanted.contains(name)) {
            // It may be gone, which ends its pin too.
            let _ = serve::unpin(&app, &name).await;
        }
        for name in wanted {
            if !pinned.contains(&name) && pin(&app, &name).await {
                pinned.push(name);
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn pin(app: &App, name: &ModelName) -> bool {
    let target = Target {
        arrived: Instant::now(),
        model: name.clone(),
        label: name.to_string(),
        parameters: Parameters::default(),
        keep_alive: None,
    };
    match serve::pin(app, &target).await {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(model = %name, "the configuration pins it, but it cannot be loaded: {}", error.message());
            false
        }
    }
}
