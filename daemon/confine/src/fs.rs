//! The only file of this crate that touches the file system: it reads what the system reports on this process and the machine.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the crate's file wrapper; it reads small files of the system"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// How much higher than the daemon's the OOM score of a runner is, of 1000.
const OOM_SCORE: i32 = 500;

/// An inherited file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inherited {
    /// Its path in `/proc/self/fd`.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// Whether the descriptor is open for writing.
    pub(super) writable: bool,
}

/// Whether it is a file or a folder. Sockets and pipes cannot be opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
}

impl Inherited {
    /// Whether a file can grow through it.
    pub(super) fn grows(&self) -> bool {
        self.kind == Kind::Folder || self.writable
    }
}

/// All open files and folders.
pub(super) fn inherited() -> Vec<Inherited> {
    let entries = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    // All of them first, so that the descriptor of this listing is closed when its turn comes.
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths
        .into_iter()
        .filter_map(|path| {
            let found = fs::metadata(&path).ok()?;
            let kind = match found {
                found if found.is_file() => Kind::File,
                found if found.is_dir() => Kind::Folder,
                _ => return None,
            };
            // The link has the mode with which the descriptor was opened (proc_pid_fd(5)).
            let link = fs::symlink_metadata(&path).ok()?;
            Some(Inherited {
                path,
                kind,
                writable: link.permissions().mode() & 0o200 != 0,
            })
        })
        .collect()
}

/// Asks the OOM killer to choose this process before the daemon, whose score it inherited (proc_pid_oom_score_adj(5)).
/// Without the permission nothing changes.
pub(super) fn raise_oom_score() {
    const FILE: &str = "/proc/self/oom_score_adj";
    let inherited = fs::read_to_string(FILE)
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok());
    let rank = inherited.unwrap_or(0).saturating_add(OOM_SCORE).min(1000);
    let _ = fs::write(FILE, rank.to_string());
}

/// Bytes of memory and swap of the machine.
pub fn memory_and_swap() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    kibibytes("MemTotal:")?
        .checked_add(kibibytes("SwapTotal:").unwrap_or(0))?
        .checked_mul(1024)
}

/// Number of threads of this process.
pub(super) fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// The system's name of the network namespace of this process.
pub(super) fn network() -> Option<PathBuf> {
    fs::read_link("/proc/self/ns/net").ok()
}

/// Paths in a folder whose names start with this text, in order.
pub(super) fn beginning(folder: &str, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(name))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Whether a file can be opened for reading.
pub(super) fn can_read(path: impl AsRef<Path>) -> bool {
    fs::File::open(path).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn what_is_open_is_found_with_the_way_it_was_opened() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let reading = fs::File::open(file.path()).unwrap();
        let folder = fs::File::open("/").unwrap();
        let inherited = inherited();
        let found = |fd: i32| {
            let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
            let found = inherited
                .iter()
                .find(|inherited| inherited.path == path)
                .unwrap();
            (found.kind, found.writable, found.grows())
        };
        assert_eq!(found(file.as_file().as_raw_fd()), (Kind::File, true, true));
        assert_eq!(found(reading.as_raw_fd()), (Kind::File, false, false));
        assert_eq!(found(folder.as_raw_fd()), (Kind::Folder, false, true));
    }

    #[test]
    fn this_machine_has_memory_and_this_process_threads() {
        assert!(memory_and_swap() > Some(1 << 20));
        assert!(threads() >= 1);
    }
}
