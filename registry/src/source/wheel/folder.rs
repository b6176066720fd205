//! The folder that a package is fetched into.
//!
//! It lies in `ingest/`, on the file system of the store, and goes when its owner does.
//! What a process leaves that is killed goes when the home is next opened.

use std::path::Path;

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::store::FETCH_PREFIX;

/// Makes the folder.
pub(super) fn make(home: &Path) -> Result<TempDir> {
    let ingest = home.join("ingest");
    let folder = tempfile::Builder::new()
        .prefix(FETCH_PREFIX)
        .tempdir_in(&ingest);
    folder.map_err(|source| Error::Io {
        action: "create a folder in",
        path: ingest,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_its_owner() {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(home.path().join("ingest")).expect("a folder");
        let folder = make(home.path()).expect("a folder");
        let path = folder.path().to_owned();
        std::fs::write(path.join("half.whl"), "x").expect("a file");
        drop(folder);
        assert!(!path.exists());
    }
}
