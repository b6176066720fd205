//! Blob files: opening, hashing and removing them.

use std::fs::File;

use crate::{
    Damage, Digest, Reporter, Stage,
    error::{Error, Result},
    fs::{self, Kind, Stamp},
};

use super::{Step, Store, ingest};

/// What stands in the place of a blob.
#[derive(Debug)]
pub(crate) enum Check {
    /// It is a regular file, open, with this stamp.
    There(File, Stamp),
    /// It is missing or damaged.
    Bad(Damage),
}

impl Store {
    /// Opens a blob and compares its size with what its manifest states.
    pub(crate) fn open_blob(&self, digest: &Digest, size: Option<u64>) -> Result<Check> {
        let path = self.blob(digest);
        let file = match fs::open_if_there(&path) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Check::Bad(Damage::Missing)),
            Err(Error::NotRegular { found, .. }) => {
                return Ok(Check::Bad(Damage::NotRegular(found)));
            }
            Err(error) => return Err(error),
        };
        let stamp = fs::stamp(&file, &path)?;
        match size.filter(|size| *size != stamp.size) {
            Some(expected) => Ok(Check::Bad(Damage::Size {
                expected,
                found: stamp.size,
            })),
            None => Ok(Check::There(file, stamp)),
        }
    }

    /// Checks a blob without opening it; `None` when it has the stated size.
    pub(crate) fn look_at_blob(&self, digest: &Digest, expected: u64) -> Result<Option<Damage>> {
        Ok(match fs::look(&self.blob(digest))? {
            None => Some(Damage::Missing),
            Some(Kind::Folder) => Some(Damage::NotRegular("a folder")),
            Some(Kind::Other(what)) => Some(Damage::NotRegular(what)),
            Some(Kind::File(stamp)) if stamp.size != expected => Some(Damage::Size {
                expected,
                found: stamp.size,
            }),
            Some(Kind::File(_)) => None,
        })
    }

    /// Hashes an open blob. Returns the stamp under which its bytes were found good, or the damage.
    pub(crate) fn hash_blob(
        &self,
        digest: &Digest,
        file: &File,
        reporter: &Reporter,
    ) -> Result<Result<Stamp, Damage>> {
        let path = self.blob(digest);
        let stage = Stage::Verifying(*digest);
        let mut before = fs::stamp(file, &path)?;
        for is_last in [false, true] {
            let found = ingest::hash(file, &path, stage.clone(), Some(*digest), reporter)?.finish();
            if found != *digest {
                return Ok(Err(Damage::Bytes { found }));
            }
            // The file may have changed while it was read, so its stamp must be the same as before.
            let after = fs::stamp(file, &path)?;
            if before == after {
                return Ok(Ok(after));
            }
            // A new hard link, as adopting the file again makes, changes ctime and no bytes.
            // It cannot be told from a write, so the blob is hashed once more.
            let (changed, kept) = (after.changed, before);
            if is_last || after != (Stamp { changed, ..kept }) {
                break;
            }
            before = after;
        }
        Err(Error::Io {
            action: "verify",
            path,
            source: std::io::Error::other(
                "the file changed while it was read; something else writes to it",
            ),
        })
    }

    /// Reads a small blob whole and checks its digest.
    pub(crate) fn read_blob(
        &self,
        digest: &Digest,
        size: u64,
        most: u64,
    ) -> Result<Result<Vec<u8>, Damage>> {
        if size > most {
            return Ok(Err(Damage::Size {
                expected: most,
                found: size,
            }));
        }
        let file = match self.open_blob(digest, Some(size))? {
            Check::There(file, _) => file,
            Check::Bad(damage) => return Ok(Err(damage)),
        };
        let bytes = fs::read_bounded(&file, &self.blob(digest), most)?;
        let found = Digest::of(&bytes);
        Ok(if found == *digest {
            Ok(bytes)
        } else {
            Err(Damage::Bytes { found })
        })
    }

    /// Every blob, with its kind of file. Files with other names are not blobs.
    pub(crate) fn all_blobs(&self) -> Result<Vec<(Digest, Kind)>> {
        let mut blobs = Vec::new();
        for name in fs::names(&self.blobs())? {
            if let Some(digest) = Digest::from_file_name(&name)
                && let Some(kind) = fs::look(&self.blobs().join(&name))?
            {
                blobs.push((digest, kind));
            }
        }
        Ok(blobs)
    }

    /// Removes a blob. Returns its size, or `None` where there was no regular file to remove.
    pub(crate) fn remove_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.blob(digest);
        let Some(Kind::File(stamp)) = fs::look(&path)? else {
            return Ok(None);
        };
        let removed = fs::remove(&path)?;
        self.done(Step::BlobRemoved);
        Ok(removed.then_some(stamp.size))
    }

    /// Makes the removal of blobs durable.
    pub(crate) fn sync_blobs(&self) -> Result<()> {
        fs::sync_folder(&self.blobs())
    }

    /// Moves the file in a blob's place to `quarantine/`, if there is one.
    pub(crate) fn quarantine(&self, digest: &Digest) -> Result<()> {
        let blob = self.blob(digest);
        if fs::look(&blob)?.is_none() {
            return Ok(());
        }
        for number in 0_u32.. {
            let aside = self
                .quarantine_folder()
                .join(format!("{}.{number}", digest.file_name()));
            if fs::look(&aside)?.is_none() {
                fs::rename(&blob, &aside)?;
                fs::sync_folder(&self.quarantine_folder())?;
                fs::sync_folder(&self.blobs())?;
                self.done(Step::BlobQuarantined);
                tracing::warn!(blob = %digest, to = %aside.display(), "moved a damaged blob aside");
                return Ok(());
            }
        }
        unreachable!("no folder holds 2^32 files of one name")
    }

    /// Number and bytes of the files that were moved aside.
    pub(crate) fn quarantined(&self) -> Result<(u64, u64)> {
        let mut sum = (0, 0);
        for name in fs::names(&self.quarantine_folder())? {
            if let Some(Kind::File(stamp)) = fs::look(&self.quarantine_folder().join(name))? {
                sum = (sum.0 + 1, sum.1 + stamp.size);
            }
        }
        Ok(sum)
    }
}
