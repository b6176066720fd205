//! The context of a model, as lists of models show it.

use crate::app::App;
use crate::options;
use crate::scheduler::ModelSummary;

/// The context that a model is loaded with, or would be.
pub(super) fn of(app: &App, loaded: &[ModelSummary], found: &registry::Model) -> u64 {
    let key = found.key();
    let in_use = loaded.iter().find(|it| it.key == key && it.context > 0);
    let context = in_use.map_or_else(
        || {
            let none = modelfile::Parameters::default();
            let trained = found.details.context_length;
            options::resolve(&none, &found.parameters, trained, app.defaults)
                .load
                .context
        },
        |it| it.context,
    );
    u64::from(context)
}
