//! Kernels that the CPU module computes with besides its own; the crate of that name says what they are.

use runner_protocol::Kernels;

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
