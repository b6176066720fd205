//! The build of llama.cpp in cargo's target folder, and whether it fits this machine.
//!
//! The build script of llama-cpp-sys-2 runs CMake's configure step only once, and does not track the files in
//! `daemon/engine/native`. So cargo does not notice that a build is for other processors (as in a home shared by several
//! machines), or that these files changed.
//! `variants.cmake` copies the files and the chosen CPU variants into the build folder. If the copies differ from this checkout or
//! this machine, `cargo clean` removes the build of llama-cpp-sys-2 alone.
//!
//! ```text
//! <target>/release/build/llama-cpp-sys-2-*/out/build/slm/
//!     variants.cmake wanted.cmake amx.h ask-once.h    copies of the build files
//!     wanted                                          the CPU variants, with semicolons between; empty means all
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{files, process, say};

/// The package whose build script builds llama.cpp.
pub const PACKAGE: &str = "llama-cpp-sys-2";

/// The build files in `daemon/engine/native`.
const BUILD_FILES: [&str; 4] = ["variants.cmake", "wanted.cmake", "amx.h", "ask-once.h"];

/// The processors of a build of llama.cpp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processors {
    /// The processor of this machine.
    Ours,
    /// All processors that llama.cpp knows, for packages.
    All,
}

impl Processors {
    /// The environment variable for the build.
    pub fn variable(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Ours => None,
            Self::All => Some(("CMAKE_SLM_ALL_CPUS", "ON")),
        }
    }
}

/// Removes an unfit build of llama.cpp, so that the next command builds it again.
///
/// # Errors
/// CMake cannot list the wanted CPU variants, or cargo cannot clean.
pub fn prepare(workspace: &Workspace, processors: Processors) -> Result<()> {
    let build_files = workspace.root().join("daemon/engine/native");
    let wanted = wanted(&build_files, processors)?;
    for folder in folders(&workspace.release())? {
        if let Some(why) = unfit(&folder, &build_files, &wanted)? {
            say::line(&format!("llama.cpp is built again: {why}"));
            return process::run(&mut workspace.cargo(&[
                "clean",
                "--release",
                "--locked",
                "--quiet",
                "--package",
                PACKAGE,
            ]))
            .context("cannot remove the old build of llama.cpp");
        }
    }
    Ok(())
}

/// The folders of builds of llama.cpp; each has a CMake cache.
fn folders(release: &Path) -> Result<Vec<PathBuf>> {
    let built = files::list(&release.join("build"))?.into_iter();
    Ok(built
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(PACKAGE)
        })
        .map(|path| path.join("out/build"))
        .filter(|path| path.join("CMakeCache.txt").is_file())
        .collect())
}

/// The variants of a new build; an empty list means all.
fn wanted(build_files: &Path, processors: Processors) -> Result<Vec<String>> {
    let mut cmake = process::command("cmake");
    if let Some((name, value)) = processors.variable() {
        cmake.arg(format!("-D{name}={value}"));
    }
    let said = process::output(cmake.arg("-P").arg(build_files.join("wanted.cmake")))?;
    let said = said.trim_start_matches("--").trim();
    Ok(variants(said))
}

fn variants(list: &str) -> Vec<String> {
    let names = list.trim().split(';').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// Why a build is unfit; `None` if it fits.
fn unfit(folder: &Path, build_files: &Path, wanted: &[String]) -> Result<Option<String>> {
    let copy = folder.join("slm");
    for name in BUILD_FILES {
        let (used, now) = (copy.join(name), build_files.join(name));
        if !used.is_file() || files::read(&used)? != files::read(&now)? {
            return Ok(Some("it was built with older build files".to_owned()));
        }
    }
    let built = variants(&files::read(&copy.join("wanted"))?);
    if built.is_empty() {
        return Ok(None);
    }
    if wanted.is_empty() {
        return Ok(Some("it was built for one machine".to_owned()));
    }
    let missing = wanted.iter().find(|name| !built.contains(name));
    Ok(missing.map(|name| format!("it was built for another machine, without `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build_files() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../daemon/engine/native")
    }

    /// A build folder with the files of our part of the build.
    fn built(for_these: &str) -> Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        files::make_folder(&folder.path().join("slm"))?;
        for name in BUILD_FILES {
            let copy = folder.path().join("slm").join(name);
            files::replace(&copy, &files::read(&build_files().join(name))?)?;
        }
        files::replace(&folder.path().join("slm/wanted"), for_these)?;
        Ok(folder)
    }

    fn unfit_for(built: &tempfile::TempDir, wanted: &str) -> Result<Option<String>> {
        unfit(built.path(), &build_files(), &variants(wanted))
    }

    #[test]
    fn a_build_of_another_machine_is_found() -> Result<()> {
        let folder = built("haswell;piledriver;x64")?;
        assert_eq!(unfit_for(&folder, "haswell;piledriver;x64")?, None);
        assert_eq!(
            unfit_for(&folder, "zen4;cooperlake;x64")?.as_deref(),
            Some("it was built for another machine, without `zen4`")
        );
        assert_eq!(
            unfit_for(&folder, "")?.as_deref(),
            Some("it was built for one machine")
        );
        Ok(())
    }

    #[test]
    fn a_build_for_all_processors_serves_every_machine() -> Result<()> {
        let folder = built("")?;
        assert_eq!(unfit_for(&folder, "zen4;cooperlake;x64")?, None);
        assert_eq!(unfit_for(&folder, "")?, None);
        Ok(())
    }

    #[test]
    fn a_build_with_older_build_files_is_found() -> Result<()> {
        let folder = built("zen4;cooperlake;x64")?;
        let older = Some("it was built with older build files".to_owned());
        files::replace(&folder.path().join("slm/amx.h"), "// nothing\n")?;
        assert_eq!(unfit_for(&folder, "zen4;cooperlake;x64")?, older);
        let bare = tempfile::tempdir()?;
        assert_eq!(unfit_for(&bare, "zen4;cooperlake;x64")?, older);
        Ok(())
    }

    #[test]
    fn cmake_says_what_this_machine_needs() -> Result<()> {
        let ours = wanted(&build_files(), Processors::Ours)?;
        // On other architectures than x86, all are built.
        assert!(
            ours.is_empty() || (ours.len() <= 3 && ours.last().is_some_and(|name| name == "x64"))
        );
        assert!(wanted(&build_files(), Processors::All)?.is_empty());
        Ok(())
    }

    #[test]
    fn only_folders_that_llama_cpp_was_configured_in_count() -> Result<()> {
        let release = tempfile::tempdir()?;
        let build = |name: &str| release.path().join("build").join(name).join("out/build");
        for name in ["llama-cpp-sys-2-1", "llama-cpp-sys-2-2", "engine-1"] {
            files::make_folder(&build(name))?;
        }
        for name in ["llama-cpp-sys-2-1", "engine-1"] {
            files::replace(&build(name).join("CMakeCache.txt"), "")?;
        }
        assert_eq!(folders(release.path())?, [build("llama-cpp-sys-2-1")]);
        Ok(())
    }
}
