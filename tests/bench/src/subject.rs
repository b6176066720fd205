//! A measured model.

use std::path::PathBuf;

/// A model that is in the store.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// Name of the model in the store.
    pub(super) name: String,
    /// The file of its weights, for llama.cpp's programs too.
    pub(super) weights: PathBuf,
}
