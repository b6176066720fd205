//! How fast this machine reads memory and computes products, and which products it should use.

use serde_json::{Value, json};

use crate::{
    error::Error,
    model::{
        kernels::{self, Switch},
        modules,
    },
    system::threads,
};

/// Measures with this CPU module, or the one with the best score; the result is a [`devices::Measurement`].
///
/// # Errors
/// [`Error::Internal`] when the module cannot be loaded, or this build cannot measure.
pub(crate) fn report(cpu: Option<&str>, switch: Switch) -> Result<Value, Error> {
    modules::load(cpu)?;
    let state = kernels::add(switch);
    let measured = kernels::measure(threads::best(), &state)?;
    Ok(json!(measured))
}
