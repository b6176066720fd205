//! Translations of blobs: weights in llama.cpp's layout, and their projectors.
//!
//! Each can be made again at any time. They are written as blobs are: a temporary file in `ingest/`, synced, renamed
//! to its name, the folder synced. They are not hashed; the index knows the stamp of each,
//! and a file with another stamp is made again.
//! The next collection removes folders of other versions of the translation, and files whose blobs are gone.

use std::{collections::HashSet, fs::File, path::PathBuf};

use crate::{
    Digest, Reporter, Stage,
    error::{Error, Result},
    fs::{self, Kind, Stamp},
    translate::{self, BLOCK, Part, Piece, Plan, Span},
};

use super::{Store, ingest::TempPath};

/// Bytes that are copied between two reports of progress.
const STRIDE: u64 = 64 << 20;
/// Bytes of two files that are compared at once.
const CHUNK: u64 = 1 << 20;

/// Identifies one translation of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Derived {
    /// The blob.
    pub(crate) source: Digest,
    /// Which of its translations.
    pub(crate) part: Part,
}

impl Derived {
    /// The digest under which the index knows the file: the hash of a short text, so no blob has it.
    pub(crate) fn key(&self) -> Digest {
        let (version, part) = (translate::VERSION, self.part.as_str());
        Digest::of(format!("derived v{version} {part} {}", self.source).as_bytes())
    }

    fn file_name(&self) -> String {
        format!("{}.{}", self.source.hex(), self.part.as_str())
    }

    fn of_file_name(name: &str) -> Option<Self> {
        let (hex, part) = name.split_once('.')?;
        Some(Self {
            source: Digest::from_hex(hex)?,
            part: Part::ALL.into_iter().find(|known| known.as_str() == part)?,
        })
    }
}

/// A file that is being made. Dropping it removes the file, until it is published.
#[derive(Debug)]
pub(crate) struct TempDerived {
    store: Store,
    file: File,
    path: TempPath,
}

impl Store {
    /// Opens a translated file; `None` when there is none. Anything but a regular file counts as none.
    pub(crate) fn open_derived(&self, derived: &Derived) -> Result<Option<(File, Stamp)>> {
        let path = self.derived_path(derived);
        match fs::open_if_there(&path) {
            Ok(Some(file)) => {
                let stamp = fs::stamp(&file, &path)?;
                Ok(Some((file, stamp)))
            }
            Ok(None) | Err(Error::NotRegular { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a file by its plan from the open blob, and syncs it.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Translate`], or when a file cannot be read or written.
    pub(crate) fn new_derived(
        &self,
        derived: &Derived,
        plan: &Plan,
        source: &File,
        reporter: &Reporter,
    ) -> Result<TempDerived> {
        let (path, file) = self.new_temp_file()?;
        let temp = TempDerived {
            store: self.clone(),
            file,
            path: TempPath(Some(path)),
        };
        temp.has_space(plan.size(), source)?;
        let stage = Stage::Translating(derived.source);
        let mut meter = reporter.meter(stage, Some(derived.source), plan.size());
        let mut left = plan.size();
        plan.write(source, |piece| -> Result<(), Failure> {
            match piece {
                Piece::Bytes(bytes) => {
                    fs::write(&temp.file, temp.path.get(), bytes, left)?;
                    left -= bytes.len() as u64;
                    meter.add(bytes.len() as u64);
                }
                Piece::Span(span) => {
                    let mut offset = span.offset;
                    while offset < span.end() {
                        // Up to a block boundary, so that the next piece can share blocks.
                        let length = match offset % BLOCK {
                            0 => STRIDE,
                            uneven => BLOCK - uneven,
                        };
                        let length = length.min(span.end() - offset);
                        fs::copy_range(source, offset, length, &temp.file, temp.path.get())?;
                        offset += length;
                        left -= length;
                        meter.add(length);
                    }
                }
            }
            Ok(())
        })
        .map_err(|failure| failure.of(self, derived))?;
        fs::sync(&temp.file, temp.path.get())?;
        Ok(temp)
    }

    /// Whether an open file has exactly the bytes that its plan makes of the open blob.
    pub(crate) fn is_derived(
        &self,
        derived: &Derived,
        plan: &Plan,
        source: &File,
        found: &File,
    ) -> Result<bool> {
        let path = self.derived_path(derived);
        if fs::stamp(found, &path)?.size != plan.size() {
            return Ok(false);
        }
        let (blob, mut at, mut same) = (self.blob(&derived.source), 0, true);
        plan.write(source, |piece| -> Result<(), Failure> {
            match piece {
                Piece::Bytes(bytes) => {
                    same &= fs::read_range(found, &path, at, bytes.len() as u64)? == bytes;
                    at += bytes.len() as u64;
                }
                Piece::Span(Span { offset, length }) => {
                    let mut done = 0;
                    while done < length && same {
                        let next = CHUNK.min(length - done);
                        let theirs = fs::read_range(source, &blob, offset + done, next)?;
                        same &= fs::read_range(found, &path, at + done, next)? == theirs;
                        done += next;
                    }
                    at += length;
                }
            }
            Ok(())
        })
        .map_err(|failure| failure.of(self, derived))?;
        Ok(same)
    }

    /// The error about a blob that was not translated.
    pub(crate) fn not_translated(&self, derived: &Derived, error: translate::Error) -> Error {
        match error {
            translate::Error::Io { source, .. } => Error::Io {
                action: "read",
                path: self.blob(&derived.source),
                source,
            },
            source => Error::Translate {
                what: format!("blob {}", derived.source),
                source,
            },
        }
    }

    /// Removes a translated file, if it is there.
    pub(crate) fn remove_derived(&self, derived: &Derived) -> Result<()> {
        fs::remove(&self.derived_path(derived)).map(drop)
    }

    /// Removes files of other versions, and files whose source blob is gone.
    /// Returns the removed files and the freed bytes.
    pub(crate) fn sweep_derived(&self) -> Result<(Vec<Derived>, u64)> {
        let (mut removed, mut bytes) = (Vec::new(), 0);
        let ours = self.derived_folder();
        for name in fs::names(&self.derived())? {
            let folder = self.derived().join(&name);
            if folder != ours && name.starts_with('v') && fs::look(&folder)? == Some(Kind::Folder) {
                fs::remove_tree(&folder)?;
            }
        }
        let mut there = HashSet::new();
        for name in fs::names(&ours)? {
            let Some(derived) = Derived::of_file_name(&name) else {
                continue;
            };
            let source = derived.source;
            if there.contains(&source) {
                continue;
            }
            if let Some(Kind::File(_)) = fs::look(&self.blob(&source))? {
                there.insert(source);
                continue;
            }
            let path = self.derived_path(&derived);
            if let Some(Kind::File(stamp)) = fs::look(&path)?
                && fs::remove(&path)?
            {
                bytes += stamp.size;
                removed.push(derived);
            }
        }
        Ok((removed, bytes))
    }

    fn derived_folder(&self) -> PathBuf {
        self.derived().join(format!("v{}", translate::VERSION))
    }

    fn derived_path(&self, derived: &Derived) -> PathBuf {
        self.derived_folder().join(derived.file_name())
    }
}

impl TempDerived {
    /// Checks for space, unless the file system shares blocks with the source.
    fn has_space(&self, needed: u64, source: &File) -> Result<()> {
        let path = self.path.get();
        let available = fs::available(path);
        if available >= needed {
            return Ok(());
        }
        match fs::reflink(source, &self.file, path) {
            Ok(()) => fs::empty(&self.file, path),
            Err(_) => Err(Error::NoSpace {
                path: path.into(),
                needed,
                available,
            }),
        }
    }

    /// The file, open for reading.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Publishes the file. Returns it with its stamp, open for reading only, at its first byte.
    pub(crate) fn publish(mut self, derived: &Derived) -> Result<(File, Stamp)> {
        let folder = self.store.derived_folder();
        fs::create_folders(&folder)?;
        let path = self.store.derived_path(derived);
        fs::make_read_only(&self.file, self.path.get())?;
        if let Some(Kind::Folder) = fs::look(&path)? {
            fs::remove_tree(&path)?;
        }
        fs::rename(self.path.get(), &path)?;
        self.path.0 = None;
        fs::sync_folder(&folder)?;
        let file = fs::open(&path)?;
        // Renaming changes the stamp, so it is taken now.
        let stamp = fs::stamp(&file, &path)?;
        Ok((file, stamp))
    }
}

/// What ends the writing of a plan.
enum Failure {
    Translate(translate::Error),
    Store(Error),
}

impl From<translate::Error> for Failure {
    fn from(error: translate::Error) -> Self {
        Self::Translate(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    fn of(self, store: &Store, derived: &Derived) -> Error {
        match self {
            Self::Store(error) => error,
            Self::Translate(source) => store.not_translated(derived, source),
        }
    }
}
