//! File operations whose errors name the path and the attempt.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the file wrapper of this crate"
)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Bytes of a file.
///
/// # Errors
/// It does not exist.
pub fn size(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path);
    let metadata = metadata.with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(metadata.len())
}

/// SHA-256 of a file, in hex.
///
/// # Errors
/// It cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(digest(&bytes))
}

/// SHA-256 of some bytes, in hex.
pub fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whole content of a text file.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Replaces a text file in one step, so that no reader ever sees half of it.
///
/// # Errors
/// The folder cannot be written to.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    publish(path, |temporary| fs::write(temporary, text))
}

/// Writes to an existing file of the system, such as a switch in /proc.
///
/// # Errors
/// The user may not write it.
pub fn write_in_place(path: &Path, text: &str) -> Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write to {}", path.display()))
}

/// Installs a copy of `from` as `to` in one step.
///
/// A running program keeps the old file: the name moves to the new one, and the old bytes stay until the program ends.
///
/// # Errors
/// `from` cannot be read, or the folder of `to` cannot be written to.
pub fn install(from: &Path, to: &Path, mode: u32) -> Result<()> {
    publish(to, |temporary| {
        fs::copy(from, temporary)?;
        fs::set_permissions(temporary, fs::Permissions::from_mode(mode))
    })
    .with_context(|| format!("cannot install {}", from.display()))
}

/// Makes a folder and those above it.
///
/// # Errors
/// One of them cannot be made.
pub fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Sorted paths in a folder; empty if there is no such folder.
///
/// # Errors
/// It exists and cannot be read.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let attempt = || format!("cannot list {}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(attempt)? {
        paths.push(entry.with_context(attempt)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Makes a symbolic link at `to` that points to `from`.
///
/// # Errors
/// There is something at `to`, or its folder cannot be written to.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    std::os::unix::fs::symlink(from, to).with_context(|| format!("cannot link {}", to.display()))
}

/// Removes a file; returns whether it existed.
///
/// # Errors
/// It exists and cannot be removed.
pub fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// The path without links of an existing file.
///
/// # Errors
/// There is nothing.
pub fn real(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("there is no {}", path.display()))
}

/// Removes a folder with its content, if it exists.
///
/// # Errors
/// It cannot be removed.
pub fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the folder {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Renames a file on the same file system, replacing a file of that name.
///
/// # Errors
/// There is no such file, or its folder cannot be written to.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

/// Removes a folder if it is there and empty.
///
/// # Errors
/// It is empty and cannot be removed.
pub fn remove_empty_folder(path: &Path) -> Result<()> {
    if path.is_dir() && list(path)?.is_empty() {
        fs::remove_dir(path)
            .with_context(|| format!("cannot remove the folder {}", path.display()))?;
    }
    Ok(())
}

/// Writes next to `path` under another name, then renames.
fn publish(path: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let name = path
        .file_name()
        .with_context(|| format!("{} names no file", path.display()))?;
    let temporary = path.with_file_name(format!(
        ".{}.{}",
        name.to_string_lossy(),
        std::process::id()
    ));
    write(&temporary)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_install_replaces_the_file_and_leaves_nothing_else() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (from, to) = (folder.path().join("new"), folder.path().join("tool"));
        fs::write(&from, "new")?;
        fs::write(&to, "old")?;
        install(&from, &to, 0o755)?;
        assert_eq!(read(&to)?, "new");
        assert_eq!(fs::metadata(&to)?.permissions().mode() & 0o777, 0o755);
        assert_eq!(list(folder.path())?, [from, to]);
        Ok(())
    }

    #[test]
    fn a_failed_install_keeps_the_old_file_and_leaves_nothing_else() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let to = folder.path().join("tool");
        fs::write(&to, "old")?;
        install(&folder.path().join("absent"), &to, 0o755)
            .expect_err("there is nothing to install");
        assert_eq!(read(&to)?, "old");
        assert_eq!(list(folder.path())?, [to]);
        Ok(())
    }
}
