//! Files out of an archive, one at a time.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use crate::error::Result;
use crate::source::Error;
use crate::{Reporter, Stage, fs};

/// Highest compression ratio: weights hardly compress, so a member beyond it is not weights.
const MOST_RATIO: u64 = 100;
/// The ratio is not limited for smaller members.
const SMALL: u64 = 1 << 20;
const CHUNK: usize = 1 << 20;

/// An open archive.
pub(super) struct Archive {
    name: String,
    zip: ZipArchive<BufReader<File>>,
}

impl Archive {
    /// Opens an archive and reads its list of members.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = fs::open(path)?;
        let name = path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        match ZipArchive::new(BufReader::new(file)) {
            Ok(zip) => Ok(Self { name, zip }),
            Err(error) => Err(broken(&name, error).into()),
        }
    }

    /// Streams one member into `write`.
    ///
    /// Its path in the archive must be exactly `member`. Returns its size in bytes.
    pub(super) fn extract(
        &mut self,
        member: &str,
        size: Size,
        reporter: &Reporter,
        mut write: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let Self { name, zip } = self;
        let broken = |reason: &dyn ToString| broken(name, reason.to_string());
        let mut entry = zip.by_name(member).map_err(|error| match error {
            ZipError::FileNotFound => Error::MemberMissing {
                archive: name.clone(),
                member: member.to_owned(),
            },
            error => broken(&error),
        })?;
        let length = check(name, member, &entry, size)?;
        let mut meter = reporter.meter(Stage::Unpacking(member.to_owned()), None, length);
        let mut buffer = vec![0; CHUNK];
        let mut left = length;
        loop {
            let count = entry.read(&mut buffer).map_err(|error| broken(&error))?;
            if count == 0 {
                break;
            }
            left = left
                .checked_sub(count as u64)
                .ok_or_else(|| broken(&"a member is longer than it says"))?;
            write(&buffer[..count])?;
            meter.add(count as u64);
        }
        if left > 0 {
            return Err(broken(&"a member is shorter than it says").into());
        }
        Ok(length)
    }
}

/// What is known of a member's size before the archive says it, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Size {
    /// It is this.
    Exactly(u64),
    /// It is this or less.
    AtMost(u64),
}

/// Refuses a member that is not a file, or not the expected one; returns its size.
fn check(
    archive: &str,
    member: &str,
    entry: &ZipFile<'_, BufReader<File>>,
    size: Size,
) -> Result<u64, Error> {
    let (archive, member) = (archive.to_owned(), member.to_owned());
    let not_file = match () {
        () if entry.is_dir() => Some("a folder"),
        () if entry.is_symlink() => Some("a symbolic link"),
        () if entry.encrypted() => Some("encrypted"),
        () => None,
    };
    if let Some(found) = not_file {
        return Err(Error::MemberNotFile {
            archive,
            member,
            found,
        });
    }
    let (found, packed) = (entry.size(), entry.compressed_size());
    let expected = match size {
        Size::Exactly(size) => size,
        Size::AtMost(most) => found.min(most),
    };
    if found != expected {
        return Err(Error::MemberSize {
            archive,
            member,
            expected,
            found,
        });
    }
    if found > SMALL && found / MOST_RATIO > packed {
        return Err(Error::Bomb {
            archive,
            member,
            packed,
            size: found,
        });
    }
    Ok(found)
}

fn broken(archive: &str, reason: impl ToString) -> Error {
    Error::Archive {
        archive: archive.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use zip::write::SimpleFileOptions;

    use super::*;

    const MEMBER: &str = "a/b.gguf";

    fn archive() -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for name in ["a/a.txt", MEMBER] {
            zip.start_file(name, SimpleFileOptions::default())
                .expect("a member");
            zip.write_all(&[7; 300]).expect("its bytes");
        }
        zip.finish().expect("an archive").into_inner()
    }

    fn unpacked(archive: &[u8]) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.whl");
        std::fs::write(&path, archive).expect("a file");
        let mut bytes = Vec::new();
        let write = |more: &[u8]| {
            bytes.extend_from_slice(more);
            Ok(())
        };
        let mut archive = Archive::open(&path)?;
        archive
            .extract(MEMBER, Size::Exactly(300), &Reporter::silent(), write)
            .map(|_| bytes)
    }

    #[test]
    fn the_member_comes_out_whole() {
        assert_eq!(unpacked(&archive()).expect("a good archive"), [7; 300]);
    }

    #[test]
    fn no_changed_byte_panics_or_gives_other_bytes() {
        let whole = archive();
        for at in 0..whole.len() {
            for change in [1, 0x80, 0xFF] {
                let mut changed = whole.clone();
                changed[at] ^= change;
                if let Ok(bytes) = unpacked(&changed) {
                    assert_eq!(bytes, [7; 300], "byte {at}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        for bytes in [&b""[..], b"PK", b"<html>not found</html>", &[0; 4096]] {
            let error = unpacked(bytes).expect_err("no archive");
            assert!(
                matches!(error, crate::Error::Source(Error::Archive { .. })),
                "{error}"
            );
        }
    }
}
