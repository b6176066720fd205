//! The folder that a package is fetched into.
//!
//! It lies in `ingest/`, on the file system of the store, and goes when its owner does.
//! One process works on a home, so folders with another process's number in their name are what a crash left, and go now.

use std::path::Path;

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::fs;

const PREFIX: &str = "wheel-";

/// Makes the folder, and removes what earlier processes left.
pub(super) fn make(home: &Path) -> Result<TempDir> {
    let ingest = home.join("ingest");
    let ours = format!("{PREFIX}{}-", std::process::id());
    for name in fs::names(&ingest)? {
        if name.starts_with(PREFIX) && !name.starts_with(&ours) {
            fs::remove_tree(&ingest.join(name))?;
        }
    }
    let folder = tempfile::Builder::new().prefix(&ours).tempdir_in(&ingest);
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
    fn folders_of_dead_processes_go_and_ours_stay() {
        let home = tempfile::tempdir().expect("a folder");
        let ingest = home.path().join("ingest");
        let left = ingest.join("wheel-0-x");
        std::fs::create_dir_all(&left).expect("a folder");
        std::fs::write(left.join("half.whl"), "x").expect("a file");
        std::os::unix::fs::symlink(home.path(), left.join("link")).expect("a link");
        let draft = ingest.join("draft-0-0");
        std::fs::write(&draft, "x").expect("a file");
        let first = make(home.path()).expect("a folder");
        let second = make(home.path()).expect("a folder");
        assert!(first.path().exists() && second.path().exists());
        assert!(!left.exists() && draft.exists());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists());
    }
}
