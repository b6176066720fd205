//! The only file that touches the file system. Every error names the path and the attempt.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the file wrapper of the client"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// A file or folder that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}", path.display())]
pub(crate) struct Error {
    action: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

impl Error {
    /// Whether the path does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::NotFound
    }
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |source| Error {
        action,
        path: path.to_path_buf(),
        source,
    }
}

/// The kind of file at a path, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file with its size in bytes.
    File(u64),
    /// A folder.
    Folder,
    /// A device, a pipe, a socket.
    Other,
}

/// The kind of file at `path`; `None` if it does not exist.
pub(crate) fn kind(path: &Path) -> Result<Option<Kind>, Error> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(Kind::File(found.len()))),
        Ok(found) if found.is_dir() => Ok(Some(Kind::Folder)),
        Ok(_) => Ok(Some(Kind::Other)),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// What changes when a file is written or replaced: its inode, its size, and the time of its last change in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// The stamp of a file, links followed; `None` if there is none.
pub(crate) fn file_stamp(path: &Path) -> Option<FileStamp> {
    let found = fs::metadata(path).ok()?;
    Some(FileStamp {
        inode: found.ino(),
        size: found.len(),
        changed: (found.mtime(), found.mtime_nsec()),
    })
}

/// Whether `path` is a regular file that somebody may execute.
pub(crate) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
}

/// The whole file, which must not be longer than `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    read_open(open(path)?, path, limit)
}

fn read_open(file: File, path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    if bytes.len() > limit {
        let error = std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("it is longer than {limit} bytes"),
        );
        return Err(failed("read", path)(error));
    }
    Ok(bytes)
}

/// The bytes of a regular file of at most `limit` bytes, and its owner. Links are not followed.
pub(crate) fn read_with_owner(path: &Path, limit: usize) -> Result<(Vec<u8>, u32), Error> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)
        .map_err(failed("open", path))?;
    let found = file.metadata().map_err(failed("look at", path))?;
    if !found.is_file() {
        let error = std::io::Error::other("it is not a regular file");
        return Err(failed("read", path)(error));
    }
    Ok((read_open(file, path, limit)?, found.uid()))
}

/// The file, open for reading.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(failed("open", path))
}

/// The last `limit` bytes of a file as text; empty if there is no such file.
pub(crate) fn tail(path: &Path, limit: u64) -> String {
    let length = match kind(path) {
        Ok(Some(Kind::File(length))) => length,
        _ => return String::new(),
    };
    let bytes = read_range(path, length.saturating_sub(limit), length);
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// The bytes of a file from `from` to `to`, or to its end.
pub(crate) fn read_range(path: &Path, from: u64, to: u64) -> Result<Vec<u8>, Error> {
    let mut file = open(path)?;
    file.seek(SeekFrom::Start(from))
        .map_err(failed("read", path))?;
    let mut bytes = Vec::new();
    file.take(to.saturating_sub(from))
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    Ok(bytes)
}

/// The absolute path with every link followed.
pub(crate) fn canonical(path: &Path) -> Result<PathBuf, Error> {
    fs::canonicalize(path).map_err(failed("find", path))
}

/// The sorted paths of a folder's entries, at most `limit` of them.
pub(crate) fn list(path: &Path, limit: usize) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(path)
        .map_err(failed("list", path))?
        .take(limit)
    {
        paths.push(entry.map_err(failed("list", path))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Creates a folder and its parents, for this user alone.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("make the folder", path))
}

/// Creates a folder and its parents, readable by all users.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(failed("make the folder", path))
}

/// A file to append to, created for this user alone if it is missing.
pub(crate) fn append_private(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("open", path))
}

/// Writes a new file for this user alone.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    remove(path)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(failed("write", path))
}

/// Removes a file, if it exists.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_longer_than_allowed_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        fs::write(&path, [b'x'; 11]).unwrap();
        assert_eq!(read(&path, 11).unwrap().len(), 11);
        let error = read(&path, 10).unwrap_err().to_string();
        assert!(
            error.contains("long`: it is longer than 10 bytes"),
            "{error}"
        );
        assert_eq!(tail(&path, 3), "xxx");
    }
}
