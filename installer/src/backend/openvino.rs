//! OpenVINO: its libraries and headers, which the Python package `openvino` ships, and the patches for its backend.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use installer::workspace::Workspace;
use installer::{environment, files, process, say};

use super::sources::Sources;

/// The version of the package. The module needs exactly the libraries that it was linked with.
const VERSION: &str = "2026.4.1";

/// The folder of an installed OpenVINO, which replaces the package.
const VARIABLE: &str = "OpenVINO_DIR";

/// What a module needs at run time: the core, its threads, and the plugins of the devices.
const LIBRARIES: [&str; 3] = ["libopenvino.so.", "libtbb.so.", "libopenvino_intel_"];

/// Where the build finds OpenVINO.
///
/// # Errors
/// The package cannot be fetched.
pub(super) fn options() -> Result<Vec<String>> {
    if let Some(folder) = environment::folder(VARIABLE) {
        return Ok(vec![format!("-D{VARIABLE}={}", folder.display())]);
    }
    let folder = package()?.join("cmake");
    Ok(vec![format!("-D{VARIABLE}={}", folder.display())])
}

/// The libraries that the module needs beside it; none for an OpenVINO that the user installed, which stays where it is.
///
/// # Errors
/// The package cannot be fetched or lacks a library.
pub(super) fn libraries() -> Result<Vec<PathBuf>> {
    if environment::folder(VARIABLE).is_some() {
        return Ok(Vec::new());
    }
    let folder = package()?.join("libs");
    let all = files::list(&folder)?;
    let mut found = Vec::new();
    for begin in LIBRARIES {
        let named = |path: &&PathBuf| file_name(path).starts_with(begin);
        let before = found.len();
        found.extend(all.iter().filter(named).cloned());
        ensure!(found.len() > before, "no {begin}* in {}", folder.display());
    }
    Ok(found)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The folder `openvino` of the package, fetched once with pip, so that index, proxy and certificates are the user's settings.
fn package() -> Result<PathBuf> {
    let target = environment::cache()?.join("openvino").join(VERSION);
    let folder = target.join("openvino");
    if !folder.join("cmake/OpenVINOConfig.cmake").is_file() {
        say::line(&format!("fetching the Python package openvino {VERSION}"));
        process::run(&mut fetch(&target)).context("cannot fetch OpenVINO")?;
    }
    Ok(folder)
}

fn fetch(target: &Path) -> Command {
    let mut pip = process::command("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps"])
        .args(["--only-binary", ":all:", "--upgrade", "--target"])
        .arg(target)
        .arg(format!("openvino=={VERSION}"));
    pip
}

/// A copy of llama.cpp's sources with the patches of `installer/backends/openvino`, each of which says at its beginning why.
///
/// # Errors
/// A patch does not fit the sources, or the copy cannot be made.
pub(super) fn patched(workspace: &Workspace, sources: &Sources, folder: &Path) -> Result<Sources> {
    let copy = folder.join("source");
    files::remove_folder(&copy)?;
    files::make_folder(folder)?;
    process::run(
        process::command("cp")
            .arg("-r")
            .arg(&sources.folder)
            .arg(&copy),
    )?;
    for patch in files::list(&workspace.root().join("installer/backends/openvino"))? {
        process::quiet(
            process::command("patch")
                .args(["--strip=1", "--batch", "--fuzz=0", "--directory"])
                .arg(&copy)
                .arg("--input")
                .arg(&patch),
        )?;
    }
    Ok(sources.at(&copy))
}
