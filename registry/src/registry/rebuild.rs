//! Rebuilding the index from the files.

use crate::error::Result;

use super::Registry;

/// The result of a rebuild.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Models in the list.
    pub models: u64,
    /// Models among them that are damaged.
    pub damaged: u64,
}

impl Registry {
    /// Derives the index from the files again. Every blob counts as unverified afterwards,
    /// and is hashed before it is next used.
    ///
    /// # Errors
    /// When the files cannot be read or the index cannot be written.
    pub(crate) async fn rebuild(&self) -> Result<Rebuilt> {
        self.detached(|registry| async move {
            registry.0.index.clear().await?;
            let models = registry.list().await?;
            let damaged = models.iter().filter(|model| model.damage.is_some()).count();
            Ok(Rebuilt {
                models: models.len() as u64,
                damaged: damaged as u64,
            })
        })
        .await
    }
}
