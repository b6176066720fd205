//! Saved states: files in folders by model.
//!
//! Only a runner reads their content; here they are bytes with a name, a size and the time of their last use.
//! Each can be computed again at any time.

use std::{collections::HashSet, fs::File, io::ErrorKind, path::PathBuf};

use crate::{
    Digest,
    error::{Error, Result},
    fs::{self, Kind},
};

use super::{Step, Store};

/// Start of the names of states that are being written.
const PREFIX: &str = "draft-";

/// How often the folder of a model's states is made again, when it is removed before its first state is published.
const TRIES: u32 = 8;

/// Bytes of free space that states leave on the disk.
const RESERVE: u64 = 1 << 30;

/// A state on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateFile {
    /// The model.
    pub(crate) owner: Digest,
    /// Which one.
    pub(crate) name: Digest,
    /// Bytes.
    pub(crate) size: u64,
    /// When it was last used, in nanoseconds since 1970.
    pub(crate) used: i64,
}

/// A state that is being written. Dropping it removes the file, until it is published.
#[derive(Debug)]
pub(crate) struct TempState {
    file: File,
    path: Option<PathBuf>,
    /// Bytes that are still to come.
    left: u64,
}

impl Store {
    /// Begins a state of so many bytes.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when the disk would be nearly full with it.
    pub(crate) fn new_state(&self, size: u64) -> Result<TempState> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = self.states();
        fs::create_folders(&folder)?;
        fs::make_private(&folder)?;
        let needed = size.saturating_add(RESERVE);
        fs::require(&folder, needed)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{PREFIX}{number}"));
        // One process works on a home, and it removed the temporary files of the one before.
        let file = match fs::create(&path) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                fs::remove(&path)?;
                fs::create(&path)?
            }
            outcome => outcome?,
        };
        Ok(TempState {
            file,
            path: Some(path),
            left: size,
        })
    }

    /// Publishes a synced state.
    pub(crate) fn publish_state(
        &self,
        mut temp: TempState,
        owner: &Digest,
        name: &Digest,
    ) -> Result<()> {
        let folder = self.states_of(owner);
        for _ in 0..TRIES {
            if fs::create_folder(&folder)? {
                fs::sync_folder(&self.states())?;
            }
            self.done(Step::StateFolderMade);
            let Some(path) = temp.path.take() else { break };
            match fs::rename(&path, &folder.join(name.hex())) {
                Ok(()) => break,
                // Removing the last state of this model has removed its folder too.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                    temp.path = Some(path);
                }
                Err(error) => {
                    temp.path = Some(path);
                    return Err(error);
                }
            }
        }
        match &temp.path {
            None => fs::sync_folder(&folder),
            Some(_) => Err(Error::Io {
                action: "keep a state in",
                path: folder,
                source: ErrorKind::NotFound.into(),
            }),
        }
    }

    /// All states, latest used first. Other files are skipped.
    pub(crate) fn all_states(&self) -> Result<Vec<StateFile>> {
        let mut found = Vec::new();
        for folder in fs::names(&self.states())? {
            if let Some(owner) = Digest::from_hex(&folder) {
                found.extend(self.states_in(owner)?);
            }
        }
        found.sort_by_key(|state| std::cmp::Reverse(state.used));
        Ok(found)
    }

    /// The states of one model, latest used first.
    pub(crate) fn states_in(&self, owner: Digest) -> Result<Vec<StateFile>> {
        let folder = self.states_of(&owner);
        let mut found = Vec::new();
        for name in fs::names(&folder)? {
            let Some(name) = Digest::from_hex(&name) else {
                continue;
            };
            if let Some(Kind::File(stamp)) = fs::look(&folder.join(name.hex()))? {
                found.push(StateFile {
                    owner,
                    name,
                    size: stamp.size,
                    used: stamp.modified,
                });
            }
        }
        found.sort_by_key(|state| std::cmp::Reverse(state.used));
        Ok(found)
    }

    /// Opens a state for reading; `None` when it is gone.
    pub(crate) fn open_state(&self, owner: &Digest, name: &Digest) -> Result<Option<File>> {
        fs::open_if_there(&self.states_of(owner).join(name.hex()))
    }

    /// Marks a state as used now.
    pub(crate) fn touch_state(&self, owner: &Digest, name: &Digest) -> Result<()> {
        let path = self.states_of(owner).join(name.hex());
        match fs::open_if_there(&path)? {
            Some(file) => fs::touch(&file, &path),
            None => Ok(()),
        }
    }

    /// Removes a state, if it is there.
    pub(crate) fn remove_state(&self, owner: &Digest, name: &Digest) -> Result<()> {
        let folder = self.states_of(owner);
        fs::remove(&folder.join(name.hex()))?;
        fs::remove_empty_folder(&folder).map(drop)
    }

    /// Removes the least recently used states until the others have at most so many bytes. With 0 bytes, nothing is left.
    pub(crate) fn trim_states(&self, most: u64) -> Result<()> {
        if most == 0 {
            return match fs::look(&self.states())? {
                None => Ok(()),
                Some(Kind::Folder) => fs::remove_tree(&self.states()),
                Some(_) => fs::remove(&self.states()).map(drop),
            };
        }
        let mut bytes = 0_u64;
        for state in self.all_states()? {
            bytes = bytes.saturating_add(state.size);
            if bytes > most {
                self.remove_state(&state.owner, &state.name)?;
            }
        }
        Ok(())
    }

    /// Removes the states of all models but these.
    pub(crate) fn keep_states_of(&self, owners: &HashSet<Digest>) -> Result<()> {
        for folder in fs::names(&self.states())? {
            if Digest::from_hex(&folder).is_some_and(|owner| !owners.contains(&owner)) {
                fs::remove_tree(&self.states().join(folder))?;
            }
        }
        Ok(())
    }

    /// Removes unfinished states of earlier processes, and folders without states.
    pub(super) fn remove_temp_states(&self) -> Result<()> {
        for name in fs::names(&self.states())? {
            let path = self.states().join(&name);
            if name.starts_with(PREFIX) {
                fs::remove(&path)?;
            } else if Digest::from_hex(&name).is_some() {
                fs::remove_empty_folder(&path)?;
            }
        }
        Ok(())
    }

    fn states_of(&self, owner: &Digest) -> PathBuf {
        self.states().join(owner.hex())
    }
}

impl TempState {
    /// Appends bytes.
    ///
    /// # Errors
    /// When they cannot be written, or are more than were announced.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        let path = self.path.as_deref().expect("it has no name yet");
        if length > self.left {
            return Err(Error::SizeMismatch {
                what: "a state".into(),
                expected: self.left,
                found: length,
            });
        }
        fs::write(&self.file, path, bytes, self.left)?;
        self.left -= length;
        Ok(())
    }

    /// Syncs the file.
    ///
    /// # Errors
    /// When they are not, or fewer than were announced.
    pub(crate) fn sync(&self) -> Result<()> {
        let path = self.path.as_deref().expect("it has no name yet");
        if self.left > 0 {
            return Err(Error::SizeMismatch {
                what: "a state".into(),
                expected: self.left,
                found: 0,
            });
        }
        fs::sync(&self.file, path)
    }
}

impl Drop for TempState {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(error) = fs::remove(&path)
        {
            tracing::warn!(%error, "an unfinished state stays behind until the next start");
        }
    }
}
