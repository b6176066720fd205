//! The context of a model, as lists of models show it.

use crate::app::App;
use crate::options::{self, Defaults};
use crate::scheduler::ModelSummary;

/// The context that a model is loaded with, or would be.
///
/// Models with the same weights share a runner. A request gets at most the context of its own model, however large the
/// context is with which another model has loaded the runner.
pub(super) fn of(app: &App, loaded: &[ModelSummary], found: &registry::Model) -> u64 {
    let none = modelfile::Parameters::default();
    let trained = found.details.context_length;
    let config = app.config.current();
    let defaults = Defaults::of(&config, &config.for_model(&found.name));
    let options = options::resolve(&none, &found.parameters, trained, defaults);
    let own = options.load.context;
    let key = found.key();
    let in_use = loaded.iter().find(|it| it.key == key && it.context > 0);
    u64::from(match in_use {
        Some(loaded) if loaded.name == found.name => loaded.context,
        Some(loaded) => loaded.context.min(own),
        None => own,
    })
}
