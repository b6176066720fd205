//! The environment variables that steer the chores, and nothing else reads the environment.
//!
//! | variable | meaning |
//! |---|---|
//! | `HOME` | where the default prefix and the default cache lie |
//! | `XDG_CACHE_HOME` | where caches lie, instead of `$HOME/.cache` |
//! | `PATH` | where programs are looked for, and whether the installed ones will be found |
//! | `CARGO` | the cargo that runs us, set by cargo |
//! | `SLM_PEER` | a folder with llama.cpp's programs, built already |
#![expect(
    clippy::disallowed_methods,
    reason = "this is the file that reads the environment"
)]

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The user's home folder.
///
/// # Errors
/// `HOME` is not set.
pub(crate) fn home() -> Result<PathBuf> {
    env::var_os("HOME")
        .map(PathBuf::from)
        .context("HOME is not set")
}

/// The folder for what can be made again: tools and the programs we are compared with.
///
/// # Errors
/// Neither `XDG_CACHE_HOME` nor `HOME` is set.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => home()?.join(".cache"),
    };
    Ok(base.join("slm"))
}

/// Whether a shell would look for programs in `folder`.
pub(crate) fn path_holds(folder: &Path) -> bool {
    search_path().iter().any(|entry| entry == folder)
}

/// Where a shell would find `program`, if anywhere.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    search_path()
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// The cargo that runs us, or the first one on the path.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

/// Folder of llama.cpp's programs that the user built elsewhere.
pub(crate) fn peer() -> Option<PathBuf> {
    env::var_os("SLM_PEER")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|value| env::split_paths(&value).collect())
        .unwrap_or_default()
}
