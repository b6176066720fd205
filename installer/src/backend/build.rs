//! Builds one module with CMake, and lays it beside the runner.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use installer::workspace::Workspace;
use installer::{environment, files, process, say};

use super::description::{Description, File};
use super::kinds::Kind;
use super::openvino;
use super::sources::Sources;

/// Options of every build: one shared module without the CPU backend and llama.cpp's own programs.
///
/// `LLAMA_BUILD_APP` has to be off because the package lacks its folder.
const OPTIONS: [&str; 11] = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_CPU=OFF",
    "-DGGML_NATIVE=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_COMMON=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_TOOLS=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
];

/// The folder of our build files for backends.
const BUILD_FILES: &str = "installer/backends";

/// Where a built module lies.
pub(crate) fn folder(workspace: &Workspace, kind: &Kind) -> PathBuf {
    workspace.release().join("slm-lib").join(kind.name)
}

/// Whether the module is built from the locked sources and the build files of this checkout.
///
/// # Errors
/// Cargo cannot tell the sources, or a file cannot be read.
pub(super) fn is_built(workspace: &Workspace, kind: &Kind) -> Result<bool> {
    let there = Description::read(&folder(workspace, kind))?;
    let Some(there) = there else { return Ok(false) };
    let sources = Sources::find(workspace)?;
    Ok(there.llama_cpp == sources.package && there.recipe == recipe(workspace, kind)?)
}

/// Builds the module, unless it is there already.
///
/// # Errors
/// Something is missing for the build, with the way to get it; or the build fails.
pub(super) fn build(workspace: &Workspace, kind: &Kind, jobs: Option<usize>) -> Result<()> {
    let to = folder(workspace, kind);
    if is_built(workspace, kind)? {
        say::line(&format!(
            "{} is built already, in {}",
            kind.name,
            to.display()
        ));
        return Ok(());
    }
    let missing = kind.missing();
    if !missing.is_empty() {
        bail!(
            "the backend {} cannot be built here; it needs\n  {}",
            kind.name,
            missing.join("\n  ")
        );
    }
    let began = Instant::now();
    let home = workspace.target().join("backends").join(kind.name);
    let locked = Sources::find(workspace)?;
    let sources = match kind.name {
        "openvino" => openvino::patched(workspace, &locked, &home)?,
        _ => locked,
    };
    let build = home.join("build");
    process::run(&mut configure(workspace, kind, &sources, &build)?)?;
    process::run(&mut make(kind, &build, jobs))?;
    let mut parts = vec![build.join("bin").join(module(kind))];
    if kind.name == "openvino" {
        parts.extend(openvino::libraries()?);
    }
    lay(workspace, kind, &sources, &parts, &to)?;
    say::line(&format!(
        "{} is built in {} after {}",
        kind.name,
        to.display(),
        say::duration(began.elapsed())
    ));
    Ok(())
}

fn module(kind: &Kind) -> String {
    format!("lib{}.so", kind.target)
}

fn configure(
    workspace: &Workspace,
    kind: &Kind,
    sources: &Sources,
    build: &Path,
) -> Result<Command> {
    let ours = workspace.root().join(BUILD_FILES);
    let mut configure = process::command("cmake");
    configure.arg("-S").arg(&sources.folder);
    configure.arg("-B").arg(build);
    if environment::which("ninja").is_some() {
        configure.args(["-G", "Ninja"]);
    }
    configure.args(OPTIONS).args(kind.options);
    configure.args((kind.found)()?);
    configure.arg(format!("-DSLM_BACKEND_TARGET={}", kind.target));
    configure.arg(format!("-DSLM_BACKENDS={}", ours.display()));
    configure.arg(format!(
        "-DCMAKE_PROJECT_INCLUDE={}",
        ours.join("backend.cmake").display()
    ));
    Ok(configure)
}

fn make(kind: &Kind, build: &Path, jobs: Option<usize>) -> Command {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut make = process::command("cmake");
    make.arg("--build").arg(build);
    make.args(["--target", kind.target, "--parallel"]);
    make.arg(jobs.unwrap_or(cores).to_string());
    make
}

/// Fills a new folder and puts it in the place of the old one, so that no runner finds half a module.
fn lay(
    workspace: &Workspace,
    kind: &Kind,
    sources: &Sources,
    parts: &[PathBuf],
    to: &Path,
) -> Result<()> {
    let new = workspace
        .target()
        .join("backends")
        .join(kind.name)
        .join("new");
    files::remove_folder(&new)?;
    files::make_folder(&new)?;
    let mut described = Vec::new();
    for part in parts {
        let name = part.file_name().context("a part of a module is a file")?;
        let copy = new.join(name);
        files::install(part, &copy, 0o644)?;
        described.push(File {
            name: name.to_string_lossy().into_owned(),
            bytes: files::size(&copy)?,
            sha256: files::sha256(&copy)?,
        });
    }
    let description = Description {
        backend: kind.name.to_owned(),
        about: kind.about.to_owned(),
        module: module(kind),
        llama_cpp: sources.package.clone(),
        interface: sources.interface()?,
        recipe: recipe(workspace, kind)?,
        files: described,
    };
    description.write(&new)?;
    files::remove_folder(to)?;
    if let Some(above) = to.parent() {
        files::make_folder(above)?;
    }
    files::rename(&new, to)
}

/// The digest of what decides the build besides the sources and this machine.
fn recipe(workspace: &Workspace, kind: &Kind) -> Result<String> {
    let ours = workspace.root().join(BUILD_FILES);
    let mut text = [&OPTIONS[..], kind.options].concat().join(" ");
    let mut paths = vec![ours.join("backend.cmake"), ours.join(kind.name)];
    while let Some(path) = paths.pop() {
        if path.is_file() {
            text.push('\n');
            text.push_str(&files::read(&path)?);
        } else {
            paths.extend(files::list(&path)?);
        }
    }
    Ok(files::digest(text.as_bytes()))
}
