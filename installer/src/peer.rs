//! llama.cpp's own programs, which the project is compared with.
//!
//! They are built from the source package of `llama-cpp-python`, which carries the whole of llama.cpp,
//! with the best instructions of this machine, into the cache, once per version.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{environment, files, process, say};

/// The version of the source package; its llama.cpp is commit 0c1e57098.
const VERSION: &str = "0.3.36";

/// The programs that comparisons use.
const PROGRAMS: [&str; 5] = [
    "llama-server",
    "llama-completion",
    "llama-bench",
    "llama-batched-bench",
    "llama-quantize",
];

/// A folder with llama.cpp's programs.
#[derive(Debug)]
pub(crate) struct Peer(PathBuf);

impl Peer {
    /// The folder named by `SLM_PEER`, or the one that [`build`] fills.
    ///
    /// # Errors
    /// The cache has no place.
    pub(crate) fn find() -> Result<Self> {
        Ok(Self(match environment::peer() {
            Some(folder) => folder,
            None => built()?,
        }))
    }

    /// Path of one program.
    ///
    /// # Errors
    /// It is missing; the error says how to get it.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        ensure!(
            path.is_file(),
            "there is no {name} in {}; `cargo xtask peer` builds it{}",
            self.0.display(),
            if environment::peer().is_some() {
                ", when SLM_PEER is not set"
            } else {
                ""
            }
        );
        Ok(path)
    }

    fn is_whole(&self) -> bool {
        PROGRAMS.iter().all(|name| self.program(name).is_ok())
    }
}

/// Builds the programs into the cache where one is missing.
///
/// # Errors
/// The package cannot be fetched or built.
pub(crate) fn build() -> Result<()> {
    let peer = Peer(built()?);
    if !peer.is_whole() {
        compile(&sources()?, &home()?.join("build"))?;
    }
    say::line(&format!("llama.cpp's programs are in {}", peer.0.display()));
    Ok(())
}

/// The sources of llama.cpp, fetched once.
///
/// # Errors
/// The package cannot be fetched.
pub(crate) fn sources() -> Result<PathBuf> {
    let folder = home()?;
    files::make_folder(&folder)?;
    fetch(&folder)
}

fn home() -> Result<PathBuf> {
    Ok(environment::cache()?.join("peer").join(VERSION))
}

fn built() -> Result<PathBuf> {
    Ok(home()?.join("build/bin"))
}

/// Fetches with the ordinary client, so that index, proxy and certificates are the user's own settings.
fn fetch(folder: &Path) -> Result<PathBuf> {
    let archive = folder.join(format!("llama_cpp_python-{VERSION}.tar.gz"));
    if !archive.is_file() {
        let mut download = process::command("python3");
        download
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--no-binary",
                "llama-cpp-python",
                "--dest",
            ])
            .arg(folder)
            .arg(format!("llama-cpp-python=={VERSION}"));
        process::run(&mut download).context("cannot fetch the source package")?;
    }
    process::run(
        process::command("tar")
            .arg("-xzf")
            .arg(&archive)
            .arg("-C")
            .arg(folder),
    )?;
    Ok(folder.join(format!("llama_cpp_python-{VERSION}/vendor/llama.cpp")))
}

fn compile(sources: &Path, build: &Path) -> Result<()> {
    let mut configure = process::command("cmake");
    configure.arg("-S").arg(sources).arg("-B").arg(build).args([
        "-DCMAKE_BUILD_TYPE=Release",
        "-DGGML_NATIVE=ON",
        "-DLLAMA_CURL=OFF",
        "-DLLAMA_BUILD_TESTS=OFF",
        "-DLLAMA_BUILD_UI=OFF",
        "-DLLAMA_BUILD_WEBUI=OFF",
    ]);
    process::run(&mut configure)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut make = process::command("cmake");
    make.arg("--build")
        .arg(build)
        .arg(format!("-j{cores}"))
        .arg("--target")
        .args(PROGRAMS);
    process::run(&mut make)
}
