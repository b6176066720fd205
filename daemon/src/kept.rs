//! Results of probes that outlive the daemon: a JSON file with the key of the build and machine that it holds for.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::chain;
use crate::fs;

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept<T> {
    /// Its build, machine, and what else the result depends on.
    key: String,
    #[serde(flatten)]
    value: T,
}

/// The value that was kept with this key; `None` if there is none, and for a file that cannot be read or is longer than `limit` bytes.
pub(crate) fn read<T: DeserializeOwned>(file: &Path, limit: u64, key: &str) -> Option<T> {
    let text = fs::read_text(file, limit).ok()??;
    let kept: Kept<T> = serde_json::from_str(&text).ok()?;
    (kept.key == key).then_some(kept.value)
}

/// Keeps the value with this key, and makes the folder if it is missing.
///
/// # Errors
/// Says why the file cannot be written.
pub(crate) fn write<T: Serialize>(file: &Path, key: String, value: T) -> Result<(), String> {
    let text = serde_json::to_string(&Kept { key, value }).map_err(|error| error.to_string())?;
    let folder = file.parent().unwrap_or(file);
    fs::private_dir(folder)
        .and_then(|()| fs::replace(file, &text))
        .map_err(|error| chain(&error))
}
