//! Notes of unfinished uploads: the address at which a registry takes the rest of a blob.
//!
//! ```text
//! ingest/upload-<64 hex>.json    0600; named by a hash of registry, repository and blob
//! ```
//!
//! After a crash the registry is asked at that address how much it has. Registries forget idle uploads, so a note
//! counts for a day. The address may hold a secret of the registry, so other users cannot read the file.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::Store;
use crate::error::Result;
use crate::{Digest, fs};

/// Start of the names.
pub(super) const PREFIX: &str = "upload-";
/// How long a note counts.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest note that is read.
const NOTE_MAX: u64 = 64 << 10;

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    url: String,
    at: Timestamp,
}

/// The note of one upload.
#[derive(Debug, Clone)]
pub(crate) struct UploadNote {
    path: PathBuf,
}

impl Store {
    /// The note of an upload, by its key.
    pub(crate) fn upload_note(&self, key: &Digest) -> UploadNote {
        let path = self
            .temp_folder()
            .join(format!("{PREFIX}{}.json", key.hex()));
        UploadNote { path }
    }

    /// Whether a file of that name is a note that still counts.
    pub(super) fn is_kept_upload(&self, name: &str) -> bool {
        let path = self.temp_folder().join(name);
        name.ends_with(".json") && UploadNote { path }.read().is_some()
    }
}

impl UploadNote {
    /// The key of the upload of a blob to a registry.
    pub(crate) fn key(place: &Url, digest: &Digest) -> Digest {
        Digest::of(format!("{place}\n{digest}").as_bytes())
    }

    /// The address, where it is known and not too old.
    pub(crate) fn read(&self) -> Option<Url> {
        let file = fs::open_if_there(&self.path).ok()??;
        let bytes = fs::read_bounded(&file, &self.path, NOTE_MAX).ok()?;
        let note: Note = serde_json::from_slice(&bytes).ok()?;
        let age = Timestamp::now().duration_since(note.at);
        let is_fresh = age < KEPT.try_into().unwrap_or(jiff::SignedDuration::MAX);
        let url = Url::parse(&note.url).ok()?;
        (note.version == 1 && is_fresh).then_some(url)
    }

    /// Keeps an address in place of an older one. It only saves time, so it is not synced.
    pub(crate) fn write(&self, url: &Url) -> Result<()> {
        let note = Note {
            version: 1,
            url: url.to_string(),
            at: Timestamp::now(),
        };
        let text = serde_json::to_vec(&note).expect("a note is texts and numbers");
        let temp = self.path.with_extension("new");
        fs::remove(&temp)?;
        let file = fs::create(&temp)?;
        fs::write(&file, &temp, &text, text.len() as u64)?;
        fs::rename(&temp, &self.path)
    }

    /// Removes the note.
    pub(crate) fn remove(&self) -> Result<()> {
        fs::remove(&self.path).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StepHook;

    #[test]
    fn a_note_outlives_a_start_and_what_is_none_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), StepHook::default()).expect("a store");
        let url =
            Url::parse("https://reg.example/v2/a/blobs/uploads/1?_state=x%2Fy").expect("a URL");
        let note = store.upload_note(&UploadNote::key(&url, &Digest::of(b"x")));
        assert_eq!(note.read(), None);
        note.write(&url).expect("it is written");
        let other = folder.path().join("ingest/upload-x.json");
        std::fs::write(
            &other,
            r#"{"version":1,"url":"https://x/","at":"2020-01-01T00:00:00Z"}"#,
        )
        .expect("a file");
        store.remove_temp_files().expect("a start");
        assert_eq!(note.read(), Some(url));
        assert!(!other.exists());
        note.remove().expect("it is there");
        assert_eq!(note.read(), None);
    }
}
