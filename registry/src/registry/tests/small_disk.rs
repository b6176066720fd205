//! A disk that fills up: a file system in memory, for tests of the store and of pulls.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A folder with its own small file system. Unmounted when dropped.
pub(crate) struct Small(TempDir);

impl Small {
    /// `None`, with a word why, where this process may not mount.
    pub(crate) fn of(kilobytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let size = format!("size={kilobytes}k");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder)),
            outcome => {
                let mut error = std::io::stderr();
                let _ = std::io::Write::write_fmt(
                    &mut error,
                    format_args!("skipped: cannot mount a tmpfs here: {outcome:?}\n"),
                );
                None
            }
        }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes every byte that is left; gives the file that holds them.
    pub(crate) fn fill(&self) -> PathBuf {
        let filler = self.path().join("filler");
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&filler)
            .expect("a file");
        while std::io::Write::write(&mut file, &[0; 512]).is_ok_and(|count| count > 0) {}
        filler
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}
