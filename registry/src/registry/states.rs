//! Saved states: KV states of prompts that runners saved when their models were unloaded, for the next runner.
//!
//! They hold prompts of users, so only the owner can read them, they go with the last name of their weights, and can be switched off.
//! A damaged state is removed and computed again.
//! States are written by the protocol of blobs (see `store::ingest`), without the digest: a state carries a checksum,
//! which its reader compares.

use std::fs::File;

use tokio::sync::OwnedMutexGuard;

use crate::{
    Digest, ModelName,
    error::{Error, Result},
    store::TempState,
};

use super::{Registry, blocking};

/// Identifies a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateId {
    /// The state key of its model; see [`Manifest::state_key`](crate::manifest::Manifest::state_key).
    pub owner: Digest,
    /// Identifies the prompt that it is the state of.
    pub name: Digest,
}

/// A saved state, open for reading. It stays readable when it is removed.
#[derive(Debug)]
pub struct SavedState {
    /// Which one.
    pub id: StateId,
    /// The file, read-only.
    pub file: File,
}

/// States of one model that are being written. While it lives, no states of that model are opened.
#[derive(Debug)]
pub struct NewState {
    registry: Registry,
    model: ModelName,
    owner: Digest,
    temp: Option<TempState>,
    finished: Vec<(TempState, Digest)>,
    _turn: OwnedMutexGuard<()>,
}

impl Registry {
    /// Opens at most so many saved states with this owner, latest used first. Waits while states are being written.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn states(&self, owner: Digest, most: usize) -> Result<Vec<SavedState>> {
        let _turn = self.turn(&owner).lock_owned().await;
        self.on_disk(move |store| {
            let mut opened = Vec::new();
            for state in store.states_in(owner)?.into_iter().take(most) {
                let id = StateId {
                    owner,
                    name: state.name,
                };
                if let Some(file) = store.open_state(&owner, &state.name)? {
                    opened.push(SavedState { id, file });
                }
            }
            Ok(opened)
        })
        .await
    }

    /// Begins to save states of a model.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the model was removed or replaced.
    pub async fn save_states(&self, model: &ModelName, owner: Digest) -> Result<NewState> {
        self.check_owner(model, owner).await?;
        let turn = self.turn(&owner).lock_owned().await;
        Ok(NewState {
            registry: self.clone(),
            model: model.clone(),
            owner,
            temp: None,
            finished: Vec::new(),
            _turn: turn,
        })
    }

    /// Marks a state as used now.
    ///
    /// # Errors
    /// When the file cannot be changed.
    pub async fn touch_state(&self, id: StateId) -> Result<()> {
        self.on_disk(move |store| store.touch_state(&id.owner, &id.name))
            .await
    }

    /// Removes a state, if it is there.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub async fn remove_state(&self, id: StateId) -> Result<()> {
        self.on_disk(move |store| store.remove_state(&id.owner, &id.name))
            .await
    }

    /// Removes the least recently used states until the others have at most so many bytes; with 0, all of them.
    ///
    /// # Errors
    /// When files cannot be removed.
    pub async fn trim_states(&self, most: u64) -> Result<()> {
        self.on_disk(move |store| store.trim_states(most)).await
    }

    /// Checks that the model is there and its states still have this owner.
    async fn check_owner(&self, model: &ModelName, owner: Digest) -> Result<()> {
        let name = model.clone();
        let file = self
            .on_disk(move |store| store.read_manifest(&name))
            .await?;
        let manifest = file.and_then(|file| file.manifest.ok());
        match manifest.filter(|manifest| manifest.state_key() == owner) {
            Some(_) => Ok(()),
            None => Err(Error::NotFound {
                name: model.clone(),
            }),
        }
    }
}

impl NewState {
    /// Begins a state of so many bytes. An unfinished one is dropped.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when the disk would be nearly full with it.
    pub async fn begin(&mut self, size: u64) -> Result<()> {
        self.temp = None;
        let temp = self.registry.on_disk(move |store| store.new_state(size));
        self.temp = Some(temp.await?);
        Ok(())
    }

    /// Appends bytes to it. An error drops it.
    ///
    /// # Errors
    /// When there is none, they cannot be written, or are more than were announced.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        let mut temp = self.take()?;
        let temp = blocking(move || temp.write(&bytes).map(|()| temp)).await?;
        self.temp = Some(temp);
        Ok(())
    }

    /// All of its bytes are written. It gets this name in [`NewState::publish`].
    ///
    /// # Errors
    /// When there is none.
    pub fn finish(&mut self, name: Digest) -> Result<()> {
        let temp = self.take()?;
        self.finished.push((temp, name));
        Ok(())
    }

    /// Syncs the finished states and publishes them; the first one counts as used last. Then removes `replaced`,
    /// and the least recently used states until all have at most `most` bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the model was removed meanwhile, or when files cannot be written.
    pub async fn publish(self, replaced: Vec<StateId>, most: u64) -> Result<()> {
        let Self {
            registry,
            model,
            owner,
            finished,
            _turn,
            ..
        } = self;
        let finished = blocking(move || {
            for (temp, _) in &finished {
                temp.sync()?;
            }
            Ok(finished)
        })
        .await?;
        // From here on, no model is removed together with its states.
        let _gate = registry.0.gate.read().await;
        registry.check_owner(&model, owner).await?;
        registry
            .on_disk(move |store| {
                // The first state is worth most, so it counts as used last.
                for (temp, name) in finished.into_iter().rev() {
                    store.publish_state(temp, &owner, &name)?;
                    store.touch_state(&owner, &name)?;
                }
                for id in replaced {
                    store.remove_state(&id.owner, &id.name)?;
                }
                store.trim_states(most)
            })
            .await
    }

    fn take(&mut self) -> Result<TempState> {
        self.temp.take().ok_or_else(|| Error::Invalid {
            reason: "no state was begun".into(),
        })
    }
}
