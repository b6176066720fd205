//! One process at work on a home.

use std::fs::{File, TryLockError};

use crate::{
    error::{Error, Result},
    fs,
};

use super::Store;

/// Held as long as the process works on the home. The operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
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
        Ok(Lock { _file: file })
    }
}
