//! The only file that touches the file system: what the system says about this process and the machine, and the folder of backend modules.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the crate's file wrapper; what it reads are small files of the system"
)]

use std::path::{Path, PathBuf};

use crate::error::Error;

/// A file of the system, or nothing where it does not exist.
pub(crate) fn kernel_file(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// Size of a regular file, or nothing when it is none.
pub(crate) fn regular_file_size(path: &Path) -> Option<u64> {
    std::fs::metadata(path)
        .ok()
        .filter(std::fs::Metadata::is_file)
        .map(|metadata| metadata.len())
}

/// Paths of what lies in a folder; nothing when it cannot be read.
pub(crate) fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::File::open(path)
}

/// Path of the running program, without symbolic links.
pub(crate) fn program() -> Option<PathBuf> {
    std::fs::canonicalize(std::env::current_exe().ok()?).ok()
}

/// Path and size of an inherited descriptor's file.
pub(crate) fn descriptor(fd: i32, what: &str) -> Result<(PathBuf, u64), Error> {
    let folder = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    let path = PathBuf::from(format!("{folder}/{fd}"));
    // 0 is the socket, 1 and 2 are the log.
    let size = if fd > 2 {
        regular_file_size(&path)
    } else {
        None
    };
    let size = size
        .ok_or_else(|| Error::Invalid(format!("descriptor {fd} of the {what} is no open file")))?;
    Ok((path, size))
}
