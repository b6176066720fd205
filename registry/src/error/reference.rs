//! Why a text names no model.

/// Why a text names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a model name: {reason}")]
pub struct ReferenceError {
    /// What was given, cut to a length fit for a message.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}
