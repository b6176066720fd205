//! One process at work on a home.

use std::fs::{File, TryLockError};

use crate::{
    error::{Error, Result},
    fs,
};

use super::Store;

/// The lock of a home. The operating system releases it when the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that is being started briefly inherits all open files, and the lock with them.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the home stays locked until this process ends");
        }
    }
}

impl Store {
    /// Takes the home for this process.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let path = self.run().join("lock");
        let file = fs::open_lock(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = fs::read_bounded(&file, &path, 32)?;
                let pid = String::from_utf8_lossy(&text).trim().parse().ok();
                return Err(Error::Locked {
                    home: self.home.clone(),
                    pid,
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(Error::Io {
                    action: "lock",
                    path,
                    source,
                });
            }
        }
        fs::overwrite(&file, &path, format!("{}\n", std::process::id()).as_bytes())?;
        Ok(Lock { file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StepHook;

    #[test]
    fn letting_go_does_not_wait_for_a_child_that_is_being_started() {
        let home = tempfile::tempdir().expect("a folder");
        let store = Store::open(home.path(), StepHook::default()).expect("a fresh store");
        let lock = store.lock().expect("nobody has it");
        let of_the_child = lock.file.try_clone().expect("a second descriptor");
        assert!(matches!(store.lock(), Err(Error::Locked { .. })));
        drop(lock);
        store.lock().expect("it was let go of");
        drop(of_the_child);
    }
}
