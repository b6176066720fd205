//! Answers requests of all dialects. No other module leases a model for a request.

mod adapters;
mod attempt;
mod prepared;
mod resolved;
mod tokens;
mod turns;
mod vectors;

use registry::{Capability, ModelName};

use crate::answer::{Answer, RequestTimes, Timings};
use crate::app::App;
use crate::ask::{Ask, Target};
use crate::error::Error;
use crate::scheduler::{Unloading, Which};

use prepared::Prepared;
pub use prepared::PromptText;
use resolved::ResolvedModel;
pub use tokens::{detokenize, tokenize};
pub use vectors::{embed, rerank};

/// Leases the model of a request and starts the answer. Dropping the answer cancels it.
///
/// # Errors
/// When the model does not exist or cannot do what is asked, the load fails, or the prompt does not fit the context.
pub async fn answer(app: &App, ask: Ask) -> Result<Answer, Error> {
    Prepared::new(app, ask).await?.begin().await
}

/// The prompt that the model of a request would read. Nothing is generated.
///
/// # Errors
/// As [`answer`], except for the length of the prompt.
pub async fn prompt(app: &App, ask: Ask) -> Result<PromptText, Error> {
    Prepared::new(app, ask).await?.prompt().await
}

/// Loads a model that has this capability, or any model, and generates nothing.
///
/// # Errors
/// When the model does not exist or cannot be loaded.
pub async fn load(
    app: &App,
    target: &Target,
    capability: Option<Capability>,
) -> Result<Timings, Error> {
    let resolved = ResolvedModel::find(app, capability, target).await?;
    drop(resolved.lease(app).await?);
    Ok(RequestTimes::loaded(target.arrived).timings())
}

/// Loads a model and pins it: it stays loaded until it is unpinned.
///
/// # Errors
/// When the model does not exist or cannot be loaded.
pub async fn pin(app: &App, target: &Target) -> Result<Timings, Error> {
    let resolved = ResolvedModel::find(app, None, target).await?;
    let lease = resolved.lease(app).await?;
    let (name, key) = (resolved.model.name.clone(), resolved.model.key());
    app.scheduler.pin(name, key).await?;
    drop(lease);
    Ok(RequestTimes::loaded(target.arrived).timings())
}

/// Unpins the model of this name, or the model that was pinned by it. Returns whether one was pinned.
///
/// # Errors
/// When no model has this name, and none was pinned by it.
pub async fn unpin(app: &App, name: &ModelName) -> Result<bool, Error> {
    let found = app.registry.model(name).await;
    let stored = found.as_ref().map_or(name, |model| &model.name);
    if app.scheduler.unpin(Which::Name(stored.clone())).await {
        return Ok(true);
    }
    // Another name of the same weights may be pinned.
    match found {
        Ok(model) => Ok(app.scheduler.unpin(Which::Key(model.key())).await),
        Err(error) => Err(error.into()),
    }
}

/// Unloads the models that were loaded by this name and are other weights than its model now, each after its last request.
///
/// # Errors
/// When no model has this name.
pub async fn unload_earlier(app: &App, name: &ModelName) -> Result<(), Error> {
    let now = app.registry.model(name).await?;
    for loaded in app.scheduler.list().await {
        if loaded.name == now.name && loaded.key != now.key() {
            app.scheduler.unload(Which::Key(loaded.key), false).await;
        }
    }
    Ok(())
}

/// Unloads the model of this name once it is idle; a pinned model only with `even_pinned`. If that model is not loaded, unloads the
/// model that was loaded by this name, whose name is gone or damaged or belongs to another model by now.
///
/// # Errors
/// When no model has this name, and none was loaded by it.
pub async fn unload(app: &App, name: &ModelName, even_pinned: bool) -> Result<Unloading, Error> {
    let found = app.registry.model(name).await;
    let mut unloading = Unloading::NotLoaded;
    if let Ok(model) = &found {
        let which = Which::Key(model.key());
        unloading = app.scheduler.unload(which, even_pinned).await;
    }
    if unloading == Unloading::NotLoaded {
        let which = Which::Name(name.clone());
        unloading = app.scheduler.unload(which, even_pinned).await;
    }
    match (unloading, found) {
        (Unloading::NotLoaded, Err(error)) => Err(error.into()),
        (unloading, _) => Ok(unloading),
    }
}
