//! The only file that touches the file system: what the system says about this process and the machine, and the folder of backend modules.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the crate's file wrapper; what it reads are small files of the system"
)]

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::error::Error;

/// A file of the system, or nothing where it does not exist.
pub(crate) fn kernel_file(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// A text of at most this many bytes.
///
/// # Errors
/// The system's, or that it is longer.
pub(crate) fn text(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?
        .take(most.saturating_add(1))
        .read_to_string(&mut text)?;
    if read as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(text)
}

/// SHA-256 of a file, in hex.
///
/// # Errors
/// The system's.
pub(crate) fn sha256(path: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut part = vec![0; 1024 * 1024];
    loop {
        match file.read(&mut part)? {
            0 => break,
            read => hash.update(&part[..read]),
        }
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
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
pub(crate) fn open(path: &Path) -> io::Result<std::fs::File> {
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
