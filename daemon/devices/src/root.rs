//! The folder below which the system's files are read: `/` on this machine, a copy of another machine's files in a test.
//!
//! This is the only file of the crate that touches the file system. Every read has a limit.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the crate's file wrapper: it reads small files of the system, and one that cannot be read is absent"
)]

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access as Mode, access, statvfs};

use crate::accelerator::Access;

/// Most bytes that are read of a file. The longest, `/proc/cpuinfo`, has about 1.5 KiB for each thread.
const MAX_TEXT: u64 = 2 * 1024 * 1024;

/// Most entries that are read of a folder.
const MAX_ENTRIES: usize = 4096;

/// A folder that has `proc`, `sys`, `dev` and `etc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// This machine.
    pub fn system() -> Self {
        Self("/".into())
    }

    /// A folder with the files of a machine.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The path below the root of an absolute path of the machine, such as `/proc/meminfo`.
    fn join(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// The beginning of a file; `None` if it is no regular file or cannot be read.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let path = self.join(path);
        // A FIFO or a device in its place would block.
        if !fs::metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(&path).ok()?;
        file.take(MAX_TEXT).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A file of one value, without the space around it.
    pub(crate) fn value(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        // Files of the device tree end in a zero byte.
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A file with one decimal number.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.value(path)?.parse().ok()
    }

    /// A file with one hexadecimal number, such as `0x8086`.
    pub(crate) fn hex(&self, path: &str) -> Option<u32> {
        let value = self.value(path)?;
        let digits = value.strip_prefix("0x").unwrap_or(&value);
        u32::from_str_radix(digits, 16).ok()
    }

    /// The names in a folder, sorted; empty if it cannot be read.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.join(path)).into_iter().flatten();
        let mut names: Vec<String> = entries
            .take(MAX_ENTRIES)
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// The last part of the target of a symbolic link; `driver` of a device is one.
    pub(crate) fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.join(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// Whether there is a file, a folder or a device of this name.
    pub(crate) fn exists(&self, path: &str) -> bool {
        fs::metadata(self.join(path)).is_ok()
    }

    /// Whether this process may read and write a device file.
    pub(crate) fn access(&self, path: &str) -> Access {
        let path = self.join(path);
        match access(&path, Mode::READ_OK | Mode::WRITE_OK) {
            Ok(()) => Access::Granted,
            Err(rustix::io::Errno::NOENT) => Access::Absent,
            Err(_) => Access::Denied,
        }
    }

    /// The name of the group of a file, by `/etc/group`; its number where that has no name.
    pub(crate) fn group(&self, path: &str) -> Option<String> {
        let id = fs::metadata(self.join(path)).ok()?.gid();
        let groups = self.text("/etc/group").unwrap_or_default();
        let name = groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
        });
        Some(name.unwrap_or_else(|| id.to_string()))
    }

    /// Total and free bytes of the file system of a folder, for programs without privileges.
    pub(crate) fn space(&self, path: &Path) -> Option<(u64, u64)> {
        let found = statvfs(self.join(path.to_str()?)).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Some((bytes(found.f_blocks), bytes(found.f_bavail)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_ends_at_its_limit_and_other_files_are_absent() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let long = vec![b'7'; MAX_TEXT as usize + 10];
        fs::write(folder.path().join("long"), long).unwrap();
        assert_eq!(root.text("/long").unwrap().len() as u64, MAX_TEXT);
        fs::write(folder.path().join("broken"), [b'a', 0xff, 0]).unwrap();
        assert_eq!(root.value("/broken").as_deref(), Some("a\u{fffd}"));
        assert_eq!(root.text("/absent"), None);
        assert_eq!(root.text("/"), None);
        assert!(root.names("/absent").is_empty());
    }
}
