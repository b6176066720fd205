//! Dangling links that a native build leaves behind, and that would stop the next one.
//!
//! The build script of `llama-cpp-sys-2` puts hard links of its shared libraries next to our executables.
//! Some of them are links of relative symbolic links and point nowhere from there.
//! When the script runs again it takes those for absent, tries to make them anew, and panics because the names exist.

use std::path::Path;

use anyhow::Result;

use crate::files;

/// Removes dangling links to native libraries from a build folder and the two folders below it that get them.
///
/// # Errors
/// A folder cannot be listed, or a link cannot be removed.
pub(crate) fn clear(release: &Path) -> Result<()> {
    for folder in [
        release.to_path_buf(),
        release.join("deps"),
        release.join("examples"),
    ] {
        for path in files::list(&folder)? {
            // `exists` follows the link, so a link that is listed and does not exist points nowhere.
            if is_native_library(&path) && path.is_symlink() && !path.exists() {
                files::remove(&path)?;
            }
        }
    }
    Ok(())
}

fn is_native_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (name.starts_with("libllama") || name.starts_with("libggml")) && name.contains(".so")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the test makes what a native build leaves"
    )]
    fn only_dangling_native_links_go() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("libggml.so.0"), "library")?;
        symlink("libggml.so.0", at("libggml.so"))?;
        symlink("libllama.so.0", at("libllama.so"))?;
        symlink("nowhere", at("mine"))?;
        clear(folder.path())?;
        assert_eq!(
            files::list(folder.path())?,
            [at("libggml.so"), at("libggml.so.0"), at("mine")]
        );
        Ok(())
    }
}
