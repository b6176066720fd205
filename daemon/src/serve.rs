//! Answers requests of all dialects. No other module leases a model for a request.

mod attempt;
mod prepared;
mod resolved;
mod turns;
mod vectors;

use registry::{Capability, ModelName};

use crate::answer::{Answer, RequestTimes, Timings};
use crate::app::App;
use crate::ask::{Ask, Target};
use crate::error::Error;
use crate::scheduler::Unloading;

use prepared::Prepared;
pub use prepared::PromptText;
use resolved::ResolvedModel;
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

/// Loads a model and generates nothing.
///
/// # Errors
/// When the model does not exist or cannot be loaded.
pub async fn load(app: &App, target: &Target) -> Result<Timings, Error> {
    let resolved = ResolvedModel::find(app, Capability::Completion, target).await?;
    drop(resolved.lease(app).await?);
    Ok(RequestTimes::loaded(target.arrived).timings())
}

/// Unloads the model of this name once it is idle. If that model is not loaded, unloads the model that was loaded by this name,
/// whose name is gone or damaged or belongs to another model by now.
///
/// # Errors
/// When no model has this name, and none was loaded by it.
pub async fn unload(app: &App, name: &ModelName) -> Result<Unloading, Error> {
    let found = app.registry.model(name).await;
    let mut unloading = Unloading::NotLoaded;
    if let Ok(model) = &found {
        unloading = app.scheduler.unload(model.key()).await;
    }
    if unloading == Unloading::NotLoaded {
        unloading = app.scheduler.unload_named(name.clone()).await;
    }
    match (unloading, found) {
        (Unloading::NotLoaded, Err(error)) => Err(error.into()),
        (unloading, _) => Ok(unloading),
    }
}
