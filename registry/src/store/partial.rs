//! Partial blobs: blobs that are being fetched, kept when the transfer breaks off.
//!
//! ```text
//! ingest/part-<64 hex>        the bytes at their offsets; missing bytes are holes
//! ingest/part-<64 hex>.json   the note: which blob it is, and which bytes are there
//! ```
//!
//! The 64 digits are the blob's digest or, where that is not known before its last byte, the digest of what identifies the bytes at
//! their source.
//!
//! The note is written often and synced seldom. Bytes that were written count after a crash of the process, because the kernel has
//! them; after a crash of the machine, recognised by the kernel's boot id, only ranges that were synced before the note count.
//! The digest decides in the end, whatever the note says.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rangemap::RangeSet;
use serde::{Deserialize, Serialize};

use crate::digest::Hasher;
use crate::error::{Error, Result};
use crate::{Digest, fs};

use super::ingest::{TempBlob, TempPath};
use super::{Step, Store};

/// Start of the names of both files.
pub(super) const PREFIX: &str = "part-";
/// End of the name of the note.
const NOTE: &str = ".json";
/// How long an idle partial blob is kept.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Bytes written between two notes, and the longest time between them.
const NOTE_EVERY: u64 = 4 << 20;
const NOTE_AFTER: Duration = Duration::from_secs(1);
/// Bytes written between two times that the file is synced.
const SYNC_EVERY: u64 = 512 << 20;
/// Bytes read at once when what is there is hashed.
const CHUNK: usize = 1 << 20;
/// Largest note that is read.
const NOTE_MAX: u64 = 4 << 20;

/// The blob that is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Identifies the bytes: the digest, where it is known.
    pub(crate) key: Digest,
    /// The digest, where it is known.
    pub(crate) digest: Option<Digest>,
    /// The size in bytes.
    pub(crate) size: Option<u64>,
    /// The model it is for, for people.
    pub(crate) model: String,
}

/// The note beside a partial file.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    #[serde(flatten)]
    wanted: Wanted,
    /// Every model that bytes were fetched for; the last one is `wanted.model`.
    #[serde(default)]
    models: BTreeSet<String>,
    boot: String,
    written: RangeSet<u64>,
    synced: RangeSet<u64>,
}

impl Note {
    /// Every model that bytes were fetched for.
    fn models(&self) -> BTreeSet<String> {
        let mut models = self.models.clone();
        models.insert(self.wanted.model.clone());
        models
    }
}

/// A blob that is being fetched. Its files stay when it is dropped.
#[derive(Debug)]
pub(crate) struct Partial {
    store: Store,
    file: File,
    path: PathBuf,
    wanted: Wanted,
    models: BTreeSet<String>,
    written: RangeSet<u64>,
    synced: RangeSet<u64>,
    /// The hash of the contiguous bytes from the start.
    hasher: Hasher,
    noted: Instant,
    unnoted: u64,
    unsynced: u64,
}

impl Store {
    /// Continues or begins a blob. The missing bytes must fit on the disk.
    pub(crate) fn partial(&self, wanted: Wanted) -> Result<Partial> {
        let path = self
            .temp_folder()
            .join(format!("{PREFIX}{}", wanted.key.hex()));
        let note = self.note(&wanted.key);
        let file = match (&note, fs::open_for_writing(&path)) {
            (Some(_), Ok(file)) => file,
            _ => {
                fs::remove(&path)?;
                fs::create(&path)?
            }
        };
        let found = fs::stamp(&file, &path)?.size;
        let mut models = note.as_ref().map(Note::models).unwrap_or_default();
        models.insert(wanted.model.clone());
        let (written, synced) = match note {
            Some(note) if note.boot == boot() => (note.written, note.synced),
            Some(note) => (note.synced.clone(), note.synced),
            None => Default::default(),
        };
        // Ranges of the note beyond the end of the file were never written.
        let clip = |mut ranges: RangeSet<u64>| {
            let end = wanted.size.map_or(found, |size| size.min(found));
            if end < u64::MAX {
                ranges.remove(end..u64::MAX);
            }
            ranges
        };
        let (written, synced) = (clip(written), clip(synced));
        if let Some(size) = wanted.size {
            fs::require(&path, size - total(&written))?;
        }
        self.done(Step::TempFileCreated);
        let mut partial = Partial {
            store: self.clone(),
            file,
            path,
            wanted,
            models,
            written,
            synced,
            hasher: Hasher::default(),
            noted: Instant::now(),
            unnoted: 0,
            unsynced: 0,
        };
        partial.write_note()?;
        Ok(partial)
    }

    /// Bytes of a blob that were fetched before and are kept.
    pub(crate) fn partial_bytes(&self, key: &Digest) -> u64 {
        self.note(key).map_or(0, |note| total(&note.written))
    }

    /// The partial blobs of a model.
    pub(crate) fn partials_of(&self, model: &str) -> Result<Vec<Digest>> {
        let notes = self.notes()?.into_iter();
        let of_model = notes.filter(|note| note.models().contains(model));
        Ok(of_model.map(|note| note.wanted.key).collect())
    }

    /// Every partial blob: the models that it was fetched for, and its bytes.
    pub(crate) fn partials(&self) -> Result<Vec<(BTreeSet<String>, u64)>> {
        let notes = self.notes()?.into_iter();
        let partials = notes.map(|note| (note.models(), total(&note.written)));
        Ok(partials.collect())
    }

    fn notes(&self) -> Result<Vec<Note>> {
        let names = fs::names(&self.temp_folder())?;
        let keys = names.iter().filter_map(|name| {
            let digits = name.strip_prefix(PREFIX)?.strip_suffix(NOTE)?;
            Digest::from_hex(digits)
        });
        Ok(keys.filter_map(|key| self.note(&key)).collect())
    }

    /// Removes a model from the note of a blob, and the blob with the last model. Returns the removed bytes.
    /// The caller holds the lock for fetching this blob.
    pub(crate) fn remove_partial(&self, key: &Digest, model: &str) -> Result<u64> {
        let Some(note) = self.note(key) else {
            return Ok(0);
        };
        let mut models = note.models();
        models.remove(model);
        if let Some(other) = models.first() {
            let wanted = Wanted {
                model: other.clone(),
                ..note.wanted.clone()
            };
            self.replace_note(&Note {
                wanted,
                models,
                ..note
            })?;
            return Ok(0);
        }
        // The note first: bytes without a note do not count.
        fs::remove(&self.note_path(key))?;
        fs::remove(&self.temp_folder().join(format!("{PREFIX}{}", key.hex())))?;
        Ok(total(&note.written))
    }

    fn replace_note(&self, note: &Note) -> Result<()> {
        let bytes = serde_json::to_vec(note).expect("numbers and texts");
        let (temp, file) = self.new_temp_file()?;
        let written = fs::write(&file, &temp, &bytes, bytes.len() as u64)
            .and_then(|()| fs::rename(&temp, &self.note_path(&note.wanted.key)));
        if written.is_err() {
            fs::remove(&temp)?;
        }
        written
    }

    fn note(&self, key: &Digest) -> Option<Note> {
        let path = self.note_path(key);
        let file = fs::open_if_there(&path).ok()??;
        let bytes = fs::read_bounded(&file, &path, NOTE_MAX).ok()?;
        let note: Note = serde_json::from_slice(&bytes).ok()?;
        (note.version == 1 && note.wanted.key == *key).then_some(note)
    }

    fn note_path(&self, key: &Digest) -> PathBuf {
        self.temp_folder()
            .join(format!("{PREFIX}{}{NOTE}", key.hex()))
    }

    /// Whether a file in `ingest/` belongs to a partial blob that may still be continued.
    pub(super) fn is_kept_partial(&self, name: &str) -> bool {
        let Some(digits) = name.strip_prefix(PREFIX) else {
            return false;
        };
        let key = digits.strip_suffix(NOTE).unwrap_or(digits);
        let Some(key) = Digest::from_hex(key) else {
            return false;
        };
        let note = self.note_path(&key);
        let modified = fs::open_if_there(&note)
            .ok()
            .flatten()
            .and_then(|file| fs::stamp(&file, &note).ok())
            .map(|stamp| stamp.modified());
        modified.is_some_and(|time| {
            let age = jiff::Timestamp::now().duration_since(time);
            age < KEPT.try_into().unwrap_or(jiff::SignedDuration::MAX)
        })
    }
}

impl Partial {
    /// The bytes that are there.
    pub(crate) fn written(&self) -> &RangeSet<u64> {
        &self.written
    }

    /// Whether every byte is there; where the size is not known, whether there is no hole.
    pub(crate) fn is_whole(&self) -> bool {
        match self.wanted.size {
            Some(size) => total(&self.written) >= size,
            None => self.written.iter().count() <= 1,
        }
    }

    /// Writes bytes at their offset, and hashes the contiguous front.
    ///
    /// # Errors
    /// When they cannot be written. What was there before stays.
    pub(crate) fn put(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        // Hashed bytes are not written again; a server without ranges sends them again.
        let front = self.hasher.length();
        let known = usize::try_from(front.saturating_sub(at)).unwrap_or(usize::MAX);
        let Some(bytes) = bytes.get(known..).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        let at = at + known as u64;
        let count = bytes.len() as u64;
        let missing = self
            .wanted
            .size
            .map_or(count, |size| size.saturating_sub(total(&self.written)));
        fs::write_at(&self.file, &self.path, bytes, at, missing)?;
        self.written.insert(at..at + count);
        self.unnoted += count;
        self.unsynced += count;
        if at == self.hasher.length() {
            self.hasher.update(bytes);
        }
        if self.unsynced >= SYNC_EVERY {
            fs::sync_data(&self.file, &self.path)?;
            self.synced = self.written.clone();
            self.unsynced = 0;
            self.write_note()?;
        } else if self.unnoted >= NOTE_EVERY || self.noted.elapsed() >= NOTE_AFTER {
            self.write_note()?;
        }
        Ok(())
    }

    /// Hashes what is there behind the front, at most `most` bytes of it. Returns how many were hashed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn hash_on(&mut self, most: u64) -> Result<u64> {
        let front = self.hasher.length();
        let end = self
            .written
            .get(&front)
            .map_or(front, |range| range.end)
            .min(front.saturating_add(most));
        if front == end {
            return Ok(0);
        }
        let mut buffer = vec![0; CHUNK];
        let mut at = front;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            let count = fs::read_at(&self.file, &self.path, &mut buffer[..wanted], at)?;
            if count == 0 {
                return Err(Error::Io {
                    action: "read",
                    path: self.path.clone(),
                    source: ErrorKind::UnexpectedEof.into(),
                });
            }
            self.hasher.update(&buffer[..count]);
            at += count as u64;
        }
        Ok(at - front)
    }

    /// Hashes all of it again, from the disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn hash_again(&mut self) -> Result<()> {
        self.hasher = Hasher::default();
        while self.hash_on(u64::MAX)? > 0 {}
        Ok(())
    }

    /// The digest of the bytes, which must all be there and hashed.
    pub(crate) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Forgets every byte.
    ///
    /// # Errors
    /// When the file cannot be cut.
    pub(crate) fn clear(&mut self) -> Result<()> {
        fs::truncate(&self.file, &self.path, 0)?;
        self.written.clear();
        self.synced.clear();
        self.hasher = Hasher::default();
        (self.unnoted, self.unsynced) = (0, 0);
        self.write_note()
    }

    /// Notes what is there, without waiting for the disk.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub(crate) fn write_note(&mut self) -> Result<()> {
        let note = Note {
            version: 1,
            wanted: self.wanted.clone(),
            models: self.models.clone(),
            boot: boot(),
            written: self.written.clone(),
            synced: self.synced.clone(),
        };
        self.store.replace_note(&note)?;
        self.noted = Instant::now();
        self.unnoted = 0;
        Ok(())
    }

    /// Steps 2 to 4 of the write protocol: the complete file becomes a temporary file, and its note is removed.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`], [`Error::SizeMismatch`]; when the file cannot be synced.
    pub(crate) fn finish(self) -> Result<TempBlob> {
        let Self {
            store,
            file,
            path,
            wanted,
            hasher,
            ..
        } = self;
        store.done(Step::TempFileWritten);
        fs::sync(&file, &path)?;
        store.done(Step::TempFileSynced);
        let size = hasher.length();
        let digest = hasher.finish();
        if let Some(expected) = wanted.size.filter(|expected| *expected != size) {
            return Err(Error::SizeMismatch {
                what: format!("blob {}", digest.short()),
                expected,
                found: size,
            });
        }
        if let Some(expected) = wanted.digest.filter(|expected| *expected != digest) {
            return Err(Error::DigestMismatch {
                expected,
                found: digest,
            });
        }
        fs::remove(&store.note_path(&wanted.key))?;
        store.done(Step::TempFileCompared);
        Ok(TempBlob {
            store,
            file,
            path: TempPath(Some(path)),
            shared: false,
            digest,
            size,
        })
    }
}

/// How many bytes a set of ranges has.
pub(crate) fn total(ranges: &RangeSet<u64>) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// The boot id of the kernel; a reboot loses unsynced bytes.
fn boot() -> String {
    let path = std::path::Path::new("/proc/sys/kernel/random/boot_id");
    let text = fs::open(path)
        .and_then(|file| fs::read_bounded(&file, path, 64))
        .unwrap_or_default();
    // Without a boot id, unsynced bytes do not count.
    match String::from_utf8(text) {
        Ok(text) if !text.is_empty() => text.trim().to_owned(),
        _ => format!("process {}", std::process::id()),
    }
}
