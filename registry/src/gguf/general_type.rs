//! What a file is for.

use serde::{Deserialize, Serialize};

use super::Metadata;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GeneralType {
    /// Weights that run by themselves.
    Model,
    /// A change to a model's weights (LoRA).
    Adapter,
    /// The part of a model that reads images or sound.
    Projector,
}

impl GeneralType {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        match metadata.str("general.type") {
            Some("adapter") => Self::Adapter,
            Some("projector" | "mmproj") => Self::Projector,
            // Older projectors say so by their architecture only.
            _ if metadata.str("general.architecture") == Some("clip") => Self::Projector,
            _ => Self::Model,
        }
    }
}
