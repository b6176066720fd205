//! What models took when they were loaded, for the next prediction.

use crate::{ModelKey, Registry, error::Result};

/// The bytes of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredMemory {
    /// What was predicted for the parts that were measured.
    pub predicted: u64,
    /// What they took.
    pub measured: u64,
}

impl Registry {
    /// What a model took when it was last loaded with such settings.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn memory_of(
        &self,
        model: &ModelKey,
        settings: &str,
    ) -> Result<Option<MeasuredMemory>> {
        let found = self.0.index.memory(&model.to_text(), settings).await?;
        Ok(found.map(|(predicted, measured)| MeasuredMemory {
            predicted,
            measured,
        }))
    }

    /// Keeps what a model took. `settings` tells the settings that memory depends on.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn remember_memory(
        &self,
        model: &ModelKey,
        settings: &str,
        memory: MeasuredMemory,
    ) -> Result<()> {
        let MeasuredMemory {
            predicted,
            measured,
        } = memory;
        let model = model.to_text();
        self.0
            .index
            .record_memory(&model, settings, predicted, measured)
            .await
    }
}
