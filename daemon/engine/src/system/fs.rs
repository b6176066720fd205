//! The only file that touches the file system: what the kernel says about this process and the machine, and the folder of backend modules.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the crate's file wrapper; what it reads are small files of the kernel"
)]

use std::path::{Path, PathBuf};

/// A file of the kernel, or nothing where it does not exist.
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
