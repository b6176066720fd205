//! Kernels that the CPU module computes with besides its own; the crate of that name says what they are.

/// Has the loaded CPU module compute with them, as far as it can, and says so in the log.
#[cfg(feature = "kernels")]
pub(crate) fn add() {
    match kernels::add() {
        Ok(()) => tracing::debug!("the CPU computes with slm's kernels"),
        Err(reason @ kernels::Unavailable::Processor) => {
            tracing::info!(%reason, "the CPU computes with llama.cpp's kernels alone");
        }
        Err(reason @ kernels::Unavailable::Module { .. }) => {
            tracing::warn!(%reason, "the CPU computes with llama.cpp's kernels alone");
        }
    }
}

/// This build has none.
#[cfg(not(feature = "kernels"))]
pub(crate) fn add() {}

/// Has contexts take memory only where they are used. Call it before another thread runs.
pub(crate) fn clear_lazily() {
    #[cfg(feature = "kernels")]
    kernels::clear_lazily();
}
