//! The environment variables of `cargo xtask`; no other file reads the environment.
//!
//! | variable | meaning |
//! |---|---|
//! | `HOME` | where the default prefix and the default cache lie |
//! | `XDG_CACHE_HOME` | where caches lie, instead of `$HOME/.cache` |
//! | `PATH` | where programs are looked for, and whether the installed ones will be found |
//! | `CARGO` | the cargo that runs us, set by cargo |
//! | `SLM_PEER` | a folder with llama.cpp's programs, built already |
//! | `LD_LIBRARY_PATH` | where libraries are looked for; cargo adds its own folders, which no program here is to see |
//! | `OpenVINO_DIR`, `HEXAGON_SDK_ROOT` and the like | where the kits of makers lie, for `cargo xtask backend` |
//! | `LANG`, `TMPDIR` | what llama.cpp's programs get besides `HOME` and `PATH` |
#![expect(
    clippy::disallowed_methods,
    reason = "this is the file that reads the environment"
)]

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The user's home folder.
///
/// # Errors
/// `HOME` is not set.
pub fn home() -> Result<PathBuf> {
    env::var_os("HOME")
        .map(PathBuf::from)
        .context("HOME is not set")
}

/// The cache folder, for tools and for the programs of comparisons.
///
/// # Errors
/// Neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => home()?.join(".cache"),
    };
    Ok(base.join("slm"))
}

/// Whether a shell would look for programs in `folder`.
pub fn path_holds(folder: &Path) -> bool {
    search_path().iter().any(|entry| entry == folder)
}

/// Where a shell would find `program`, if anywhere.
pub fn which(program: &str) -> Option<PathBuf> {
    search_path()
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// This program.
///
/// # Errors
/// The system cannot tell.
pub fn program() -> Result<PathBuf> {
    env::current_exe().context("cannot find this program")
}

/// The cargo that runs us, or the first one on the path.
pub fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

/// The folder that a variable of a maker's kit names, such as `OpenVINO_DIR`.
pub fn folder(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Folder of llama.cpp's programs that the user built elsewhere.
pub fn peer() -> Option<PathBuf> {
    env::var_os("SLM_PEER")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The variables that llama.cpp's programs inherit; any other could change their behaviour.
pub fn of_peers() -> Vec<(&'static str, OsString)> {
    ["HOME", "LANG", "PATH", "TMPDIR"]
        .into_iter()
        .filter_map(|name| Some((name, env::var_os(name)?)))
        .collect()
}

/// `LD_LIBRARY_PATH` as the user has it. `cargo run` puts the project's build folders before it,
/// and a program with libraries of the same names, such as another llama.cpp, would load the project's.
pub fn library_path() -> Option<OsString> {
    let whole = env::var_os("LD_LIBRARY_PATH")?;
    let built = env::current_exe().ok()?;
    without_cargos(&whole, built.parent()?)
}

/// Folders as one search path.
///
/// # Errors
/// One has a colon in its name.
pub fn joined(folders: &[PathBuf]) -> Result<OsString> {
    env::join_paths(folders).context("a search path cannot hold this folder")
}

/// A search path without the folders that cargo adds for a program in `built`; `None` if no other is left.
fn without_cargos(whole: &OsStr, built: &Path) -> Option<OsString> {
    let kept: Vec<PathBuf> = env::split_paths(whole)
        .filter(|folder| !folder.as_os_str().is_empty())
        .filter(|folder| !folder.starts_with(built) && !folder.iter().any(|part| part == "rustlib"))
        .collect();
    // They come from a search path, so they can be joined again.
    (!kept.is_empty()).then(|| env::join_paths(kept).unwrap_or_default())
}

fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|value| env::split_paths(&value).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_adds_to_the_library_path_goes_and_what_the_user_has_stays() {
        let built = Path::new("/build/release");
        let kept = |whole: &str| without_cargos(OsStr::new(whole), built);
        assert_eq!(
            kept(
                "/build/release/build/llama-cpp-sys-2-1/out/lib:/build/release/deps:/build/release:\
                 /rust/lib/rustlib/x86_64-unknown-linux-gnu/lib:/opt/own:/build/other"
            ),
            Some(OsString::from("/opt/own:/build/other"))
        );
        assert_eq!(kept("/build/release/deps:/build/release"), None);
        assert_eq!(kept(""), None);
    }
}
