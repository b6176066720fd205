//! The few files of the daemon itself: its configuration, its socket, and its note.
//!
//! Files of the store belong to the registry. Each error names the path and the attempt.

#![expect(
    clippy::disallowed_methods,
    reason = "the one file of this crate that touches the file system"
)]

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt} {}", path.display())]
pub struct Error {
    attempt: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

trait Name<T> {
    fn name(self, attempt: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> Name<T> for io::Result<T> {
    fn name(self, attempt: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error {
            attempt,
            path: path.to_owned(),
            source,
        })
    }
}

/// Creates a directory that only its owner can enter, with its parents.
///
/// # Errors
/// When it cannot be created, or is another kind of file.
pub fn private_dir(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .name("create the directory", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).name("restrict", path)
}

/// Reads a text file of at most `limit` bytes; `None` if it does not exist.
///
/// # Errors
/// When it cannot be read, is longer, or is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<Option<String>, Error> {
    // Without waiting for the other end of a pipe.
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let mut options = fs::OpenOptions::new();
    let opened = options
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.name("open", path)?,
    };
    if !file.metadata().name("look at", path)?.is_file() {
        return Err(io::Error::other("it is not a regular file")).name("read", path);
    }
    let mut text = String::new();
    let read = file
        .take(limit + 1)
        .read_to_string(&mut text)
        .name("read", path)?;
    if read as u64 > limit {
        return Err(io::Error::other(format!("longer than {limit} bytes"))).name("read", path);
    }
    Ok(Some(text))
}

/// Replaces a small file atomically: a reader sees the old text or the new one.
///
/// The file is not synced, because it is not needed after a power failure.
///
/// # Errors
/// When it cannot be written or renamed.
pub fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .name("create", &new)?;
    file.write_all(text.as_bytes()).name("write", &new)?;
    drop(file);
    fs::rename(&new, path).name("put in place", path)
}

/// Replaces a file of the user atomically and durably. Its mode stays, and a link to it stays a link.
///
/// # Errors
/// When it cannot be written or renamed.
pub fn replace_kept(path: &Path, text: &str) -> Result<(), Error> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mode = match fs::metadata(&path) {
        Ok(found) => found.permissions().mode() & 0o777,
        Err(_) => 0o600,
    };
    let new = path.with_extension("new");
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&new)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().name("write", &new)?;
    fs::rename(&new, &path).name("put in place", &path)?;
    match path.parent().map(fs::File::open) {
        Some(folder) => folder
            .and_then(|folder| folder.sync_all())
            .name("sync the folder of", &path),
        None => Ok(()),
    }
}

/// Removes a file, if it exists.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.name("remove", path),
    }
}

/// Restricts a socket to its owner.
///
/// # Errors
/// When the mode cannot be set.
pub fn private_file(path: &Path) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).name("restrict", path)
}

/// Path, size and time of a file, which change with each build or installation; `None` if it does not exist.
pub fn stamp(path: &Path) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    let changed = found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!(
        "{} {} {}",
        path.display(),
        found.len(),
        changed.as_nanos()
    ))
}

/// Bytes of these files together.
pub fn total_size(files: &[std::fs::File]) -> u64 {
    let sizes = files.iter().filter_map(|file| file.metadata().ok());
    sizes.fold(0, |sum, found| sum.saturating_add(found.len()))
}

/// Asks the kernel to read a file into the page cache. Nothing happens where it does not.
pub fn read_ahead(file: &std::fs::File) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::WillNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Whether standard error of this process goes to this file.
pub fn is_standard_error(path: &Path) -> bool {
    let ours = || {
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        fs::File::from(stderr).metadata()
    };
    match (ours(), fs::metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// What is at the path of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtSocket {
    /// Nothing.
    Nothing,
    /// A socket: its device and inode, which identify the file as long as it exists.
    Socket(u64, u64),
    /// A file of another kind, or a link.
    Other,
}

/// Checks what is at the path of a socket, without following links.
///
/// # Errors
/// When the path cannot be checked.
pub fn at_socket(path: &Path) -> Result<AtSocket, Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            Ok(AtSocket::Socket(found.dev(), found.ino()))
        }
        Ok(_) => Ok(AtSocket::Other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(AtSocket::Nothing),
        Err(error) => Err(error).name("look at", path),
    }
}

/// Names and stamps of the files in a folder, sorted; at most a thousand, and none if the folder cannot be read.
pub fn stamps(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let entries = entries.flatten().take(1000);
    let mut stamps: Vec<String> = entries.filter_map(|entry| stamp(&entry.path())).collect();
    stamps.sort_unstable();
    stamps
}

/// File systems whose changes the system does not report, because another machine or program makes them: their magic numbers.
const UNREPORTED: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x0102_1997, "9P"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
];

/// Why the system would not report a change of this file in its folder, for people; `None` if it does.
pub fn reports_no_changes(file: &Path) -> Option<String> {
    if fs::symlink_metadata(file).is_ok_and(|found| found.is_symlink()) {
        return Some(format!("{} is a symbolic link", file.display()));
    }
    let system = rustix::fs::statfs(file.parent()?).ok()?;
    // The number has another type on other processors, and 32 bits.
    let kind = (system.f_type as u64 & u64::from(u32::MAX)) as u32;
    let (_, name) = UNREPORTED.iter().find(|(number, _)| *number == kind)?;
    Some(format!("it is on a file system of the kind {name}"))
}

/// Whether the path is a folder.
pub fn is_folder(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_dir())
}

/// The permission bits of a file or a folder; `None` if it cannot be read.
pub fn mode(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.permissions().mode() & 0o777)
}

/// Whether the path is a regular file.
pub fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file())
}

/// Where backend modules lie, seen from the folder of the runner's program: after a build, and after an installation.
pub(crate) const MODULE_FOLDERS: [&str; 2] = ["slm-lib", "../lib/slm"];

/// Whether the module of an accelerator is installed beside this runner program.
pub fn has_backends(program: &Path) -> bool {
    let Ok(program) = fs::canonicalize(program) else {
        return false;
    };
    let folders = MODULE_FOLDERS.map(|folder| program.with_file_name(folder));
    folders
        .into_iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .any(|entry| entry.path().join("backend.json").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_a_folder_with_a_description_beside_the_runner() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("slm-runner");
        assert!(!has_backends(&program));
        fs::write(&program, "").unwrap();
        fs::create_dir_all(dir.path().join("slm-lib/vulkan")).unwrap();
        fs::write(dir.path().join("slm-lib/libllama.so.0"), "").unwrap();
        assert!(!has_backends(&program));
        fs::write(dir.path().join("slm-lib/vulkan/backend.json"), "{}").unwrap();
        assert!(has_backends(&program));
    }

    #[test]
    fn a_file_is_replaced_whole_and_read_within_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note.json");
        assert_eq!(read_text(&path, 10).unwrap(), None);
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(read_text(&path, 3).unwrap().as_deref(), Some("two"));
        assert!(read_text(&path, 2).is_err());
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!is_file(&path));
    }

    #[test]
    fn an_error_names_the_path_and_the_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_text(dir.path(), 10).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&dir.path().display().to_string()), "{text}");
    }
}
