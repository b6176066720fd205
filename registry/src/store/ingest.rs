//! The write protocol of blobs.
//!
//! 1. A temporary file is made in `ingest/`, on the file system of the blobs ([`Step::TempFileCreated`]).
//! 2. Bytes are hashed while they are written ([`Step::TempFileWritten`]).
//! 3. The temporary file is synced ([`Step::TempFileSynced`]).
//! 4. Size and digest are compared with what was announced ([`Step::TempFileCompared`]).
//! 5. A lease is taken, so that no collection removes the new blob ([`Step::BlobLeased`], by the caller).
//! 6. The temporary file is renamed to `blobs/sha256-…` ([`Step::BlobRenamed`]).
//! 7. The folder is synced ([`Step::BlobFolderSynced`]).
//! 8. The index learns the stamp of the good blob ([`Step::BlobRecorded`], by the caller).
//!
//! A temporary file that is dropped before step 6 removes its file.

use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{
    Digest, Reporter, Stage,
    digest::Hasher,
    error::{Error, Result},
    fs::{self, Stamp},
};

use super::{Step, Store};

/// Start of the names of temporary files.
pub(super) const PREFIX: &str = "draft-";
/// Bytes read at once when a file is hashed.
const CHUNK: usize = 1 << 20;

/// A blob that is being written.
#[derive(Debug)]
pub(crate) struct Ingest {
    store: Store,
    file: File,
    path: TempPath,
    hasher: Hasher,
    announced: Option<u64>,
    shared: bool,
}

/// A finished temporary file: synced and hashed, but not published as a blob.
#[derive(Debug)]
pub(crate) struct TempBlob {
    pub(super) store: Store,
    pub(super) file: File,
    pub(super) path: TempPath,
    pub(super) shared: bool,
    /// Digest of its bytes.
    pub(crate) digest: Digest,
    /// Number of its bytes.
    pub(crate) size: u64,
}

/// Removes the file on drop, unless it was renamed.
#[derive(Debug)]
pub(super) struct TempPath(pub(super) Option<PathBuf>);

impl TempPath {
    pub(super) fn get(&self) -> &Path {
        self.0
            .as_deref()
            .expect("only publishing takes the path, and it consumes the temporary file")
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        // The next start removes what cannot be removed now.
        if let Some(path) = self.0.take()
            && let Err(error) = fs::remove(&path)
        {
            tracing::warn!(%error, "a temporary file stays behind until the next start");
        }
    }
}

impl Store {
    /// Begins a blob. `announced` is its size, where it is known; too little space for it is an error at once.
    pub(crate) fn ingest(&self, announced: Option<u64>) -> Result<Ingest> {
        let (path, file) = self.new_temp_file()?;
        let path = TempPath(Some(path));
        if let Some(needed) = announced {
            fs::require(path.get(), needed)?;
        }
        self.done(Step::TempFileCreated);
        Ok(Ingest {
            store: self.clone(),
            file,
            path,
            hasher: Hasher::default(),
            announced,
            shared: false,
        })
    }

    /// A new, empty file in `ingest/`.
    pub(super) fn new_temp_file(&self) -> Result<(PathBuf, File)> {
        loop {
            let path = self.temp_folder().join(self.temp_name());
            match fs::create(&path) {
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {}
                outcome => return outcome.map(|file| (path, file)),
            }
        }
    }

    fn temp_name(&self) -> String {
        use std::sync::atomic::{AtomicU64, Ordering};
        // One process works on a home, so a counter is enough; opening has removed the temporary files of earlier processes.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!(
            "{PREFIX}{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        )
    }
}

impl Ingest {
    /// Appends bytes.
    ///
    /// # Errors
    /// When they cannot be written, or are more than were announced.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let length = self.hasher.length() + bytes.len() as u64;
        let remaining = match self.announced {
            Some(expected) if length > expected => {
                return Err(Error::SizeMismatch {
                    what: "a blob".into(),
                    expected,
                    found: length,
                });
            }
            Some(expected) => expected - self.hasher.length(),
            None => bytes.len() as u64,
        };
        fs::write(&self.file, self.path.get(), bytes, remaining)?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Makes the temporary file share the blocks of `source`, an open file on the same file system, and hashes them.
    /// Nothing was written yet.
    ///
    /// # Errors
    /// When the file system cannot do it; the temporary file is still empty then.
    pub(crate) fn reflink(&mut self, source: &File, reporter: &Reporter) -> Result<()> {
        fs::reflink(source, &self.file, self.path.get())?;
        self.hash_file(reporter)
    }

    /// Makes the temporary file a hard link to the file at `source`, which must be `opened`, and hashes it.
    /// Nothing was written yet. The owner of the file can still change it; a changed blob is found out by its stamp.
    ///
    /// # Errors
    /// When the file system cannot do it, or `source` is another file by now; the temporary file is still empty then.
    pub(crate) fn hard_link(
        &mut self,
        source: &Path,
        opened: &File,
        reporter: &Reporter,
    ) -> Result<()> {
        let path = self.path.get().to_path_buf();
        let link = self.store.temp_folder().join(self.store.temp_name());
        fs::hard_link(source, &link)?;
        let mut link = TempPath(Some(link));
        let file = fs::open(link.get())?;
        let (ours, theirs) = (fs::stamp(&file, &path)?, fs::stamp(opened, source)?);
        if (ours.device, ours.inode) != (theirs.device, theirs.inode) {
            return Err(Error::NotRegular {
                path: source.into(),
                found: "another file than a moment ago",
            });
        }
        fs::rename(link.get(), &path)?;
        link.0 = None;
        self.file = file;
        self.shared = true;
        self.hash_file(reporter)
    }

    fn hash_file(&mut self, reporter: &Reporter) -> Result<()> {
        self.hasher = hash(&self.file, self.path.get(), Stage::Hashing, None, reporter)?;
        Ok(())
    }

    /// Steps 3 and 4.
    ///
    /// # Errors
    /// When the bytes are not the announced ones.
    pub(crate) fn finish(self, expected: Option<&Digest>) -> Result<TempBlob> {
        let Self {
            store,
            file,
            path,
            hasher,
            announced,
            shared,
        } = self;
        store.done(Step::TempFileWritten);
        fs::sync(&file, path.get())?;
        store.done(Step::TempFileSynced);
        let size = hasher.length();
        let digest = hasher.finish();
        if let Some(expected) = announced.filter(|expected| *expected != size) {
            return Err(Error::SizeMismatch {
                what: format!("blob {}", digest.short()),
                expected,
                found: size,
            });
        }
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(Error::DigestMismatch {
                expected: *expected,
                found: digest,
            });
        }
        store.done(Step::TempFileCompared);
        Ok(TempBlob {
            store,
            file,
            path,
            shared,
            digest,
            size,
        })
    }
}

impl TempBlob {
    /// Whether the temporary file is a hard link to the file with this stamp.
    pub(crate) fn is_file(&self, stamp: &Stamp) -> Result<bool> {
        let ours = fs::stamp(&self.file, self.path.get())?;
        Ok((ours.device, ours.inode) == (stamp.device, stamp.inode))
    }

    /// Steps 6 and 7. Returns the stamp of the blob.
    pub(crate) fn publish(mut self) -> Result<Stamp> {
        let blob = self.store.blob(&self.digest);
        // A hard link shares its mode with the user's file, which must not be changed.
        if !self.shared {
            fs::make_read_only(&self.file, self.path.get())?;
        }
        fs::rename(self.path.get(), &blob)?;
        // Renaming a hard link over another name of the same file does nothing, so the old name is removed.
        fs::remove(self.path.get())?;
        self.path.0 = None;
        self.store.done(Step::BlobRenamed);
        fs::sync_folder(&self.store.blobs())?;
        self.store.done(Step::BlobFolderSynced);
        // Renaming changes the stamp, so it is taken now.
        fs::stamp(&self.file, &blob)
    }
}

/// Hashes an open file from its first byte, and leaves it standing there.
pub(super) fn hash(
    file: &File,
    path: &Path,
    stage: Stage,
    digest: Option<Digest>,
    reporter: &Reporter,
) -> Result<Hasher> {
    let mut meter = reporter.meter(stage, digest, fs::stamp(file, path)?.size);
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; CHUNK];
    fs::rewind(file, path)?;
    loop {
        match fs::read(file, path, &mut buffer)? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                meter.add(count as u64);
            }
        }
    }
    fs::rewind(file, path)?;
    Ok(hasher)
}
