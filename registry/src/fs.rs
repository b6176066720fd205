//! All access to the file system.
//!
//! Every error names the path and what was tried with it.
//! No function here follows a symbolic link in the last component of a path, and none opens a pipe, a socket or a device:
//! anything but a regular file in a file's place is an error, because other users may write to the folder of a store.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the wrapper that the ban points to"
)]

#[cfg(test)]
pub(crate) mod faults;

use std::{
    ffi::OsString,
    fs::{DirBuilder, File, FileType, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::fs::OFlags;

use crate::error::{Error, Result};

/// Mode of the folders of a store: only their owner may enter.
const FOLDER_MODE: u32 = 0o700;
/// Mode of a file that is still being written.
const TEMP_MODE: u32 = 0o600;
/// Mode of a published blob: it never changes.
const PUBLISHED_MODE: u32 = 0o444;

/// Bytes that a write of unknown size needs at least: the block size of file systems.
pub(crate) const BLOCK: u64 = 4096;

/// Identifies a state of a file without reading it.
///
/// A file whose stamp is the one it had when it was hashed still has the bytes it had then,
/// unless something wrote to it below the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Device the file lies on.
    pub(crate) device: u64,
    /// Its number on that device.
    pub(crate) inode: u64,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// When its bytes last changed, in nanoseconds since 1970.
    pub(crate) modified: i64,
    /// When its bytes, names or mode last changed, in nanoseconds since 1970.
    pub(crate) changed: i64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// When the file's bytes last changed.
    pub(crate) fn modified(&self) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(self.modified)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// What a path leads to, links not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File(Stamp),
    /// A folder.
    Folder,
    /// Anything else; the text is for people.
    Other(&'static str),
}

impl Kind {
    fn of(metadata: &Metadata) -> Self {
        if metadata.is_file() {
            Self::File(Stamp::of(metadata))
        } else if metadata.is_dir() {
            Self::Folder
        } else {
            Self::Other(describe(metadata.file_type()))
        }
    }
}

fn describe(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    match () {
        () if kind.is_dir() => "a folder",
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

/// The error for `source`, which happened when `action` was tried on `path`.
fn failed(action: &'static str, path: &Path, source: io::Error) -> Error {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::NoSpace {
            path: path.into(),
            needed: BLOCK,
            available: available(path),
        },
        _ => Error::Io {
            action,
            path: path.into(),
            source,
        },
    }
}

/// Makes one call to the operating system. Every call goes through here, so that tests can make it fail.
fn attempt<T>(
    action: &'static str,
    path: &Path,
    call: impl FnOnce() -> io::Result<T>,
) -> Result<T> {
    #[cfg(test)]
    let call = || faults::strike(action, path).and_then(|()| call());
    call().map_err(|source| failed(action, path, source))
}

/// `None` instead of an error where there is nothing at the path.
fn unless_missing<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Error::Io { source, .. })
            if matches!(
                source.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Makes a folder and its parents, each durable before the next; existing folders stay as they are.
pub(crate) fn create_folders(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().unwrap_or(Path::new("/"));
    let above = match above.as_os_str().is_empty() {
        true => Path::new("."),
        false => above,
    };
    create_folders(above)?;
    if !create_folder(path)? && !path.is_dir() {
        let source = ErrorKind::AlreadyExists.into();
        return Err(failed("create the folder", path, source));
    }
    sync_folder(above)
}

/// Makes one folder, and says whether it was new.
pub(crate) fn create_folder(path: &Path) -> Result<bool> {
    let made = attempt("create the folder", path, || {
        DirBuilder::new().mode(FOLDER_MODE).create(path)
    });
    match made {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

/// Lets only the owner into a folder.
pub(crate) fn make_private(path: &Path) -> Result<()> {
    attempt("restrict access to", path, || {
        std::fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))
    })
}

/// Opens a regular file for reading.
pub(crate) fn open(path: &Path) -> Result<File> {
    // O_NONBLOCK keeps a pipe without a writer from holding the call; for regular files it means nothing.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = attempt("open", path, || {
        OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
    });
    let file = match opened {
        Err(Error::Io { source, .. })
            if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) =>
        {
            return Err(Error::NotRegular {
                path: path.into(),
                found: "a symbolic link",
            });
        }
        outcome => outcome?,
    };
    let kind = attempt("inspect", path, || file.metadata())?.file_type();
    if !kind.is_file() {
        return Err(Error::NotRegular {
            path: path.into(),
            found: describe(kind),
        });
    }
    Ok(file)
}

/// The path of what a path leads to, absolute and without links.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf> {
    attempt("find", path, || std::fs::canonicalize(path))
}

/// Like [`resolve`]; `None` where there is nothing.
pub(crate) fn resolve_if_there(path: &Path) -> Result<Option<PathBuf>> {
    unless_missing(resolve(path))
}

/// Opens a regular file for reading; `None` where there is none.
pub(crate) fn open_if_there(path: &Path) -> Result<Option<File>> {
    unless_missing(open(path))
}

/// Makes a new file for writing and reading back; it is an error if something stands there already.
pub(crate) fn create(path: &Path) -> Result<File> {
    attempt("create", path, || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(TEMP_MODE)
            .open(path)
    })
}

/// Opens or makes the file that a process locks to say that it is at work.
pub(crate) fn open_lock(path: &Path) -> Result<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    let options = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(TEMP_MODE);
    attempt("open", path, || options.custom_flags(flags).open(path))
}

/// Replaces what a small open file holds.
pub(crate) fn overwrite(file: &File, path: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    attempt("write", path, || {
        file.set_len(0).and_then(|()| file.write_all_at(bytes, 0))
    })
}

/// Opens a regular file that is there for writing and reading back.
pub(crate) fn open_for_writing(path: &Path) -> Result<File> {
    // What stands there is judged first, because to open a pipe for writing may wait for ever.
    drop(open(path)?);
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).custom_flags(flags);
    attempt("open", path, || options.open(path))
}

/// Writes bytes at an offset. `remaining` is how many are still to come, these included, for the error when space runs out.
pub(crate) fn write_at(
    file: &File,
    path: &Path,
    bytes: &[u8],
    at: u64,
    remaining: u64,
) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    attempt("write", path, || file.write_all_at(bytes, at))
        .map_err(|error| with_needed(error, remaining))
}

/// Reads at an offset; 0 bytes mean the end of the file.
pub(crate) fn read_at(file: &File, path: &Path, buffer: &mut [u8], at: u64) -> Result<usize> {
    use std::os::unix::fs::FileExt as _;
    attempt("read", path, || {
        loop {
            match file.read_at(buffer, at) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    })
}

/// Truncates a file, or extends it by a hole.
pub(crate) fn truncate(file: &File, path: &Path, size: u64) -> Result<()> {
    attempt("cut", path, || file.set_len(size))
}

/// `fdatasync`.
pub(crate) fn sync_data(file: &File, path: &Path) -> Result<()> {
    attempt("sync", path, || file.sync_data())
}

/// An error for want of space, with how much is needed.
fn with_needed(error: Error, needed: u64) -> Error {
    match error {
        Error::NoSpace {
            path, available, ..
        } => Error::NoSpace {
            path,
            needed,
            available,
        },
        error => error,
    }
}

/// Appends bytes. `remaining` is how many are still to come, these included, for the error when space runs out.
pub(crate) fn write(mut file: &File, path: &Path, bytes: &[u8], remaining: u64) -> Result<()> {
    attempt("write", path, || file.write_all(bytes)).map_err(|error| with_needed(error, remaining))
}

/// Reads on from where the file stands; 0 bytes mean its end.
pub(crate) fn read(mut file: &File, path: &Path, buffer: &mut [u8]) -> Result<usize> {
    attempt("read", path, || {
        loop {
            match file.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    })
}

/// Appends `length` bytes of another file, from `offset` on, to where `to` stands.
/// Blocks that stand alike in both are shared where the file system can do that, and where the first byte begins one.
pub(crate) fn copy_range(
    from: &File,
    mut offset: u64,
    length: u64,
    to: &File,
    path: &Path,
) -> Result<()> {
    let end = offset + length;
    #[cfg(target_os = "linux")]
    while offset < end {
        let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
        let copied = attempt("copy to", path, || {
            use rustix::io::Errno;
            match rustix::fs::copy_file_range(from, Some(&mut offset), to, None, left) {
                Err(Errno::INTR) => Ok(Some(0)),
                // The file system, the kernel or a filter of calls does not do it, or not between these two.
                Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) => {
                    Ok(None)
                }
                Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
                other => other.map(Some).map_err(io::Error::from),
            }
        })?;
        if copied.is_none() {
            break;
        }
    }
    copy_by_hand(from, offset, end, to, path)
}

fn copy_by_hand(from: &File, mut offset: u64, end: u64, mut to: &File, path: &Path) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    const CHUNK: u64 = 1 << 20;
    let mut buffer = Vec::new();
    while offset < end {
        buffer.resize(CHUNK.min(end - offset) as usize, 0);
        attempt("copy to", path, || {
            from.read_exact_at(&mut buffer, offset)?;
            to.write_all(&buffer)
        })?;
        offset += buffer.len() as u64;
    }
    Ok(())
}

/// Reads `length` bytes that begin at `offset`.
pub(crate) fn read_range(file: &File, path: &Path, offset: u64, length: u64) -> Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let mut bytes = vec![0; length as usize];
    attempt("read", path, || file.read_exact_at(&mut bytes, offset))?;
    Ok(bytes)
}

/// Truncates a file to 0 bytes.
pub(crate) fn empty(file: &File, path: &Path) -> Result<()> {
    attempt("empty", path, || file.set_len(0))
}

/// Reads a whole file, but never more than `most` bytes and one.
/// A result of more than `most` bytes tells the caller that the file is larger.
pub(crate) fn read_bounded(file: &File, path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    attempt("read", path, || file.take(most + 1).read_to_end(&mut bytes))?;
    Ok(bytes)
}

/// Back to the first byte.
pub(crate) fn rewind(mut file: &File, path: &Path) -> Result<()> {
    attempt("rewind", path, || io::Seek::rewind(&mut file))
}

/// The stamp of an open file.
pub(crate) fn stamp(file: &File, path: &Path) -> Result<Stamp> {
    attempt("inspect", path, || file.metadata()).map(|metadata| Stamp::of(&metadata))
}

/// What stands at a path, links not followed; `None` for nothing.
pub(crate) fn look(path: &Path) -> Result<Option<Kind>> {
    unless_missing(
        attempt("inspect", path, || std::fs::symlink_metadata(path))
            .map(|metadata| Kind::of(&metadata)),
    )
}

/// The names in a folder, sorted; none where the folder does not exist.
pub(crate) fn entries(path: &Path) -> Result<Vec<OsString>> {
    let Some(entries) = unless_missing(attempt("list", path, || std::fs::read_dir(path)))? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(attempt("list", path, || entry)?.file_name());
    }
    names.sort_unstable();
    Ok(names)
}

/// Like [`entries`], without names that are not Unicode: slm writes no such names.
pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
    let names = entries(path)?.into_iter();
    Ok(names.filter_map(|name| name.into_string().ok()).collect())
}

/// `fsync`. After an error the file must not be trusted, nor synced again.
pub(crate) fn sync(file: &File, path: &Path) -> Result<()> {
    attempt("sync", path, || file.sync_all())
}

/// Sets the time of the last change to now.
pub(crate) fn touch(file: &File, path: &Path) -> Result<()> {
    attempt("note the use of", path, || {
        file.set_modified(std::time::SystemTime::now())
    })
}

/// `fsync` of a folder, which makes its names durable.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    attempt("sync", path, || {
        File::open(path).and_then(|folder| folder.sync_all())
    })
}

/// Forbids everyone to write to a file.
pub(crate) fn make_read_only(file: &File, path: &Path) -> Result<()> {
    attempt("make read-only", path, || {
        file.set_permissions(Permissions::from_mode(PUBLISHED_MODE))
    })
}

/// Renames a file, and replaces the file at `to`.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    attempt("move a file to", to, || std::fs::rename(from, to))
}

/// Removes a name, never the target of a link. Returns whether the name was there.
pub(crate) fn remove(path: &Path) -> Result<bool> {
    unless_missing(attempt("remove", path, || std::fs::remove_file(path)))
        .map(|removed| removed.is_some())
}

/// Removes a folder if nothing is in it, and says whether it is gone.
pub(crate) fn remove_empty_folder(path: &Path) -> Result<bool> {
    let removed = attempt("remove the folder", path, || std::fs::remove_dir(path));
    match removed {
        Err(Error::Io { source, .. })
            if matches!(
                source.kind(),
                ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
            ) =>
        {
            Ok(false)
        }
        outcome => unless_missing(outcome).map(|_| true),
    }
}

/// Removes a folder with everything in it. Links are removed, never followed.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    attempt("remove the folder", path, || std::fs::remove_dir_all(path))
}

/// The size of the largest file in a folder and the folders in it, three deep; what cannot be looked at is passed over.
/// For showing how far something has come while others write there.
pub(crate) fn largest(folder: &Path) -> u64 {
    fn below(folder: &Path, depth: u8) -> u64 {
        let names = names(folder).unwrap_or_default();
        let sizes = names.iter().map(|name| {
            let path = folder.join(name);
            match look(&path) {
                Ok(Some(Kind::File(stamp))) => stamp.size,
                Ok(Some(Kind::Folder)) if depth > 0 => below(&path, depth - 1),
                _ => 0,
            }
        });
        sizes.max().unwrap_or(0)
    }
    below(folder, 3)
}

/// Gives a file a second name on the same file system.
pub(crate) fn hard_link(from: &Path, to: &Path) -> Result<()> {
    attempt("link a file to", to, || std::fs::hard_link(from, to))
}

/// Makes an empty file share the blocks of another, where the file system can.
pub(crate) fn reflink(from: &File, to: &File, path: &Path) -> Result<()> {
    attempt("share the blocks of a file with", path, || {
        #[cfg(target_os = "linux")]
        return rustix::fs::ioctl_ficlone(to, from).map_err(io::Error::from);
        #[cfg(not(target_os = "linux"))]
        return Err(io::Error::from(ErrorKind::Unsupported));
    })
}

/// Checks that so many more bytes fit on the file system of a path.
///
/// # Errors
/// [`Error::NoSpace`] with the available bytes.
pub(crate) fn require(path: &Path, needed: u64) -> Result<()> {
    let available = available(path);
    if available < needed {
        return Err(Error::NoSpace {
            path: path.into(),
            needed,
            available,
        });
    }
    Ok(())
}

/// Bytes that may still be written to the file system of a path or, where there is nothing yet, of the folder above it.
pub(crate) fn available(path: &Path) -> u64 {
    let found = path
        .ancestors()
        .find_map(|place| rustix::fs::statvfs(place).ok());
    found.map_or(0, |space| space.f_bavail.saturating_mul(space.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "x").expect("a file");
        symlink(at("file"), at("link")).expect("a link");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .expect("a pipe");
        std::fs::create_dir(at("folder")).expect("a folder");
        for (name, expected) in [
            ("link", "a symbolic link"),
            ("pipe", "a pipe"),
            ("folder", "a folder"),
        ] {
            let error = open(&at(name)).expect_err("no regular file");
            assert!(
                matches!(error, Error::NotRegular { found, .. } if found == expected),
                "{name}: {error}"
            );
        }
        assert!(open(&at("file")).is_ok());
        assert!(open_if_there(&at("nothing")).expect("no error").is_none());
    }

    #[test]
    fn removing_a_link_keeps_what_it_points_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "x").expect("a file");
        symlink(&file, &link).expect("a link");
        assert!(remove(&link).expect("removed"));
        assert!(!remove(&link).expect("no error"));
        assert!(file.exists());
    }

    #[test]
    fn a_stamp_tells_that_a_file_was_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let file = create(&path).expect("a file");
        let before = stamp(&file, &path).expect("a stamp");
        write(&file, &path, b"x", 1).expect("written");
        assert_ne!(stamp(&file, &path).expect("a stamp"), before);
    }

    #[test]
    fn ranges_are_copied_whole_in_either_way() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
        let from = create(&at("from")).expect("a file");
        write(&from, &at("from"), &bytes, bytes.len() as u64).expect("written");
        let range = 4097..2_900_001;
        let length = (range.end - range.start) as u64;
        for by_hand in [false, true] {
            let path = at(&format!("to {by_hand}"));
            let to = create(&path).expect("a file");
            write(&to, &path, b"before", 6).expect("written");
            match by_hand {
                true => copy_by_hand(&from, range.start as u64, range.end as u64, &to, &path),
                false => copy_range(&from, range.start as u64, length, &to, &path),
            }
            .expect("copied");
            let found = std::fs::read(&path).expect("a file");
            assert!(found == [b"before", &bytes[range.clone()]].concat());
        }
        let path = at("short");
        let to = create(&path).expect("a file");
        let error = copy_range(&from, 2_999_999, 10, &to, &path).expect_err("too few");
        assert!(matches!(error, Error::Io { .. }), "{error}");
    }

    #[test]
    fn a_folder_with_something_in_it_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("file"), "x").expect("a file");
        assert!(!remove_empty_folder(folder.path()).expect("no error"));
        assert!(folder.path().exists());
    }
}
