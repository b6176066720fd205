//! Kernels that the CPU module computes with besides its own; the crate of that name says what they are.

use devices::Measurement;
#[cfg(feature = "kernels")]
use devices::ProductTime;
use runner_protocol::Kernels;

use crate::error::Error;

/// Whether they are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// As far as they can be had.
    Auto,
    /// Not at all.
    Off,
}

impl Switch {
    /// The argument with which a further process of this program has it.
    pub(crate) fn argument(self) -> Option<&'static str> {
        (self == Self::Off).then_some(Kernels::OFF)
    }
}

/// Has the loaded CPU module compute with them, and says in the log why not.
pub(crate) fn add(switch: Switch) -> Kernels {
    let state = match switch {
        Switch::Auto => added(),
        Switch::Off => Kernels::Off,
    };
    match &state {
        Kernels::On => tracing::debug!("the CPU computes with slm's kernels"),
        Kernels::Off => tracing::info!("slm's kernels are switched off"),
        Kernels::Unavailable(_) => {}
    }
    state
}

/// Has products computed as chosen: `Q4_0=repack,Q8_0=ours/plain`. The kernels were added, and no model is loaded.
///
/// # Errors
/// [`Error::Invalid`] for a text of another form.
pub(crate) fn select(choices: &str) -> Result<(), Error> {
    #[cfg(feature = "kernels")]
    {
        let invalid = |error| Error::Invalid(format!("products `{choices}`: {error}"));
        let choices: Result<Vec<_>, _> = choices.split(',').map(str::parse).collect();
        kernels::select(&choices.map_err(invalid)?);
    }
    #[cfg(not(feature = "kernels"))]
    let _ = choices;
    Ok(())
}

/// Measures memory and products with the loaded CPU module, for about half a second.
///
/// # Errors
/// [`Error::Internal`] in a build without kernels.
#[cfg(feature = "kernels")]
pub(crate) fn measure(threads: u32, state: &Kernels) -> Result<Measurement, Error> {
    let one = kernels::bandwidth(1).unwrap_or_default();
    // More threads read no less; a busy machine may only interrupt them more.
    let all = kernels::bandwidth(threads).unwrap_or_default().max(one);
    let times = kernels::measure_products();
    let quiet = kernels::products::is_quiet(&times);
    // Without slm's kernels nothing can be chosen.
    let choices = match state {
        // One thread must not be compared with the memory of all.
        Kernels::On if quiet => kernels::products::choose(&times, one),
        Kernels::On | Kernels::Off | Kernels::Unavailable(_) => Vec::new(),
    };
    Ok(Measurement {
        threads,
        quiet,
        bandwidth_one: one,
        bandwidth_all: all,
        products: times
            .iter()
            .map(|time| ProductTime {
                weights: time.weights.name().to_owned(),
                columns: time.columns,
                way: time.way.name().to_owned(),
                nanoseconds: time.nanoseconds,
            })
            .collect(),
        choices: choices.iter().map(ToString::to_string).collect(),
    })
}

/// Measures memory and products with the loaded CPU module.
///
/// # Errors
/// [`Error::Internal`] in a build without kernels.
#[cfg(not(feature = "kernels"))]
pub(crate) fn measure(_: u32, _: &Kernels) -> Result<Measurement, Error> {
    Err(Error::Internal("this build cannot measure products".into()))
}

/// Has contexts take memory only where they are used. Call it before another thread runs.
pub(crate) fn clear_lazily(switch: Switch) {
    #[cfg(feature = "kernels")]
    if switch == Switch::Auto {
        kernels::clear_lazily();
    }
    #[cfg(not(feature = "kernels"))]
    let _ = switch;
}

#[cfg(feature = "kernels")]
fn added() -> Kernels {
    let Err(reason) = kernels::add() else {
        return Kernels::On;
    };
    let text = "the CPU computes with llama.cpp's kernels alone";
    match &reason {
        kernels::Unavailable::Processor => tracing::info!(%reason, "{text}"),
        kernels::Unavailable::Module { .. } => tracing::warn!(%reason, "{text}"),
    }
    Kernels::Unavailable(reason.to_string())
}

#[cfg(not(feature = "kernels"))]
fn added() -> Kernels {
    Kernels::Unavailable("this build has none".into())
}
