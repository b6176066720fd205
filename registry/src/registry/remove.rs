//! Removing a model.

use std::collections::HashSet;

use crate::{
    ModelName,
    error::{Error, Result},
    manifest::Manifest,
    store::Step,
};

use super::{GcReport, Registry};

impl Registry {
    /// Removes a name, then the blobs that nothing names any more and, with the last name of some weights, their saved states. A damaged model can be removed too.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the files cannot be removed.
    pub async fn remove(&self, name: &ModelName) -> Result<GcReport> {
        let name = name.clone();
        self.detached(|registry| async move {
            let blobs = registry.remove_name(name).await?;
            registry.collect(Some(blobs)).await
        })
        .await
    }

    /// Returns the blobs that the model had. A damaged manifest names none; its blobs are left to [`Registry::gc`].
    async fn remove_name(&self, name: ModelName) -> Result<HashSet<crate::Digest>> {
        let _names = self.0.names.lock().await;
        let (name, manifest) = self
            .on_disk(move |store| {
                let Some(file) = store.read_manifest(&name)? else {
                    return Err(Error::NotFound { name });
                };
                store.remove_manifest(&file.name)?;
                Ok((file.name, file.manifest.ok()))
            })
            .await?;
        self.revise();
        // The model is removed. The index follows now, or with the next list.
        match self.0.index.record_models(&[], &[name]).await {
            Ok(()) => self.0.store.done(Step::NameForgotten),
            Err(error) => {
                tracing::warn!(%error, "the removed model could not be taken from the list")
            }
        }
        Ok(manifest
            .iter()
            .flat_map(Manifest::blobs)
            .map(|layer| layer.digest)
            .collect())
    }
}
