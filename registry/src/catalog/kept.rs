//! The last good version of each catalog file, which counts while the file has a mistake.
//!
//! A good file is copied to a folder of the store when it is first read; a copy is removed with its file.

use std::path::Path;

use jiff::Timestamp;

use super::entry::Entry;
use super::{Diagnostic, unplaced};
use crate::error::Result;
use crate::fs::{self, Kind};

/// Most bytes of a file. Catalogs have some kilobytes; more than this is a mistake.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Reads a file. For one with a mistake, the entries are those of its copy, if it has one.
pub(super) fn read(path: &Path, kept: &Path) -> (Vec<Entry>, Option<Diagnostic>) {
    let wrong = match parsed(path) {
        Ok((text, entries)) => {
            if let Err(error) = keep(kept, &text) {
                tracing::warn!(%error, "a good catalog cannot be copied");
            }
            return (entries, None);
        }
        Err(wrong) => wrong,
    };
    match parsed(kept) {
        Ok((_, entries)) => {
            let in_force = modified(kept);
            (entries, Some(Diagnostic { in_force, ..wrong }))
        }
        Err(_) => (Vec::new(), Some(wrong)),
    }
}

/// Removes the copies of files that are gone.
pub(super) fn forget(kept: &Path, there: &[String]) -> Result<()> {
    for name in fs::names(kept)? {
        if !there.contains(&name) {
            fs::remove(&kept.join(name))?;
        }
    }
    Ok(())
}

fn parsed(path: &Path) -> std::result::Result<(String, Vec<Entry>), Diagnostic> {
    let text = text(path)?;
    let entries = super::file::parse(&text).map_err(|error| Diagnostic {
        place: error.place,
        ..unplaced(path, error.message)
    })?;
    Ok((text, entries))
}

fn text(path: &Path) -> std::result::Result<String, Diagnostic> {
    let refused = |message: String| unplaced(path, message);
    let file = fs::open(path).map_err(|error| refused(error.to_string()))?;
    let bytes =
        fs::read_bounded(&file, path, MOST_BYTES).map_err(|error| refused(error.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(refused(format!(
            "the file has more than {MOST_BYTES} bytes"
        )));
    }
    String::from_utf8(bytes).map_err(|_| refused("the file is not valid UTF-8".to_owned()))
}

/// Copies a good text, unless the copy has it.
fn keep(kept: &Path, good: &str) -> Result<()> {
    if text(kept).is_ok_and(|kept| kept == good) {
        return Ok(());
    }
    if let Some(folder) = kept.parent() {
        fs::create_folders(folder)?;
    }
    let temp = kept.with_extension("new");
    fs::remove(&temp)?;
    let file = fs::create(&temp)?;
    fs::write(&file, &temp, good.as_bytes(), good.len() as u64)?;
    fs::sync(&file, &temp)?;
    fs::rename(&temp, kept)
}

fn modified(path: &Path) -> Option<Timestamp> {
    match fs::look(path) {
        Ok(Some(Kind::File(stamp))) => Some(stamp.modified()),
        _ => None,
    }
}
