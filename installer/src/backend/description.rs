//! `backend.json`, the description of a built module. A runner compares it with the files before it loads the module.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use installer::files;

/// Its name in the folder of the module.
pub(crate) const FILE: &str = "backend.json";

/// The description.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Description {
    /// Name of the backend.
    pub(super) backend: String,
    /// What it computes on, for people.
    pub(super) about: String,
    /// The file that llama.cpp loads.
    pub(super) module: String,
    /// Name and version of the package with the sources of llama.cpp.
    pub(super) llama_cpp: String,
    /// Version of the interface between llama.cpp and its modules.
    pub(super) interface: u32,
    /// Digest of what decided the build besides the sources: options, patches and build files.
    pub(super) recipe: String,
    /// All files of the module.
    pub(super) files: Vec<File>,
}

/// A file of a module.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct File {
    /// Its name.
    pub(super) name: String,
    /// Its size.
    pub(super) bytes: u64,
    /// Its digest, in hex.
    pub(super) sha256: String,
}

impl Description {
    /// Reads the description in a folder; `None` if there is none.
    ///
    /// # Errors
    /// It is damaged.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let description = serde_json::from_str(&files::read(&path)?)
            .with_context(|| format!("{} is damaged; remove it", path.display()))?;
        Ok(Some(description))
    }

    /// Writes it into a folder.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("a description is plain data")?;
        files::replace(&folder.join(FILE), &(text + "\n"))
    }
}
