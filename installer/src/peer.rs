//! llama.cpp's own programs, for comparisons.
//!
//! They are built from the source package of `llama-cpp-python`, which contains all of llama.cpp,
//! with the best instructions of this machine, into the cache, once per version and processor.
//! They run in a separate environment, and only with the libraries beside them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{environment, files, libraries, process, say};

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

/// How they are configured.
const OPTIONS: [&str; 6] = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_BUILD_WEBUI=OFF",
];

/// Included before each of their C++ files, as in our own build: without it, GCC 12 miscompiles what uses AMX.
const AMX_HEADER: &str = include_str!("../../daemon/engine/native/amx.h");

/// A folder with llama.cpp's programs.
#[derive(Debug)]
pub struct Peer {
    programs: PathBuf,
    /// Folders of their libraries.
    libraries: Vec<PathBuf>,
}

impl Peer {
    /// The folder named by `SLM_PEER`, or the one that [`build`] fills.
    ///
    /// # Errors
    /// The cache has no place, what it has was built for another processor, or a program would run on libraries of another build.
    pub fn find() -> Result<Self> {
        let chosen = environment::peer();
        let folder = match &chosen {
            Some(folder) => std::path::absolute(folder)?,
            None => built()?,
        };
        let peer = Self::at(folder);
        if chosen.is_none() && peer.is_whole() {
            ensure!(
                is_for_this_machine(&home()?.join("build"))?,
                "llama.cpp's programs in {} were built for another processor or in another way; `cargo xtask peer` builds them again",
                peer.programs.display()
            );
        }
        for name in PROGRAMS {
            if let Ok(path) = peer.program(name) {
                libraries::check_program(&path, &peer.command(name)?, &peer.libraries)?;
            }
        }
        Ok(peer)
    }

    /// A build has its libraries beside the programs, and an installation in `lib`.
    fn at(programs: PathBuf) -> Self {
        let places = [programs.clone(), programs.join("../lib")];
        // A folder that does not exist contains no library.
        let libraries = places.iter().filter_map(|place| files::real(place).ok());
        Self {
            libraries: libraries.collect(),
            programs,
        }
    }

    /// Path of one program.
    ///
    /// # Errors
    /// It is missing; the error says how to get it.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.programs.join(name);
        ensure!(
            path.is_file(),
            "there is no {name} in {}; `cargo xtask peer` builds it{}",
            self.programs.display(),
            if environment::peer().is_some() {
                ", when SLM_PEER is not set"
            } else {
                ""
            }
        );
        Ok(path)
    }

    /// A command that runs one program in a separate environment.
    ///
    /// # Errors
    /// As [`Peer::program`].
    pub fn command(&self, name: &str) -> Result<Command> {
        let mut command = process::command(self.program(name)?);
        command
            .env_clear()
            .envs(environment::of_peers())
            .env("LD_LIBRARY_PATH", environment::joined(&self.libraries)?)
            // It searches for modules here, too.
            .current_dir(&self.programs);
        Ok(command)
    }

    /// Refuses a process of one of the programs that has loaded libraries of another build.
    ///
    /// # Errors
    /// The process has such libraries, or has ended.
    pub fn check(&self, process: u32) -> Result<()> {
        libraries::check_process(process, &self.libraries)
    }

    fn is_whole(&self) -> bool {
        PROGRAMS.iter().all(|name| self.program(name).is_ok())
    }
}

/// Builds the programs into the cache where one is missing, or where they were built for another processor.
///
/// # Errors
/// The package cannot be fetched or built.
pub fn build() -> Result<()> {
    let folder = home()?.join("build");
    let peer = Peer::at(built()?);
    if !peer.is_whole() || !is_for_this_machine(&folder)? {
        compile(&sources()?, &folder)?;
    }
    say::line(&format!(
        "llama.cpp's programs are in {}",
        peer.programs.display()
    ));
    Ok(())
}

/// The sources of llama.cpp, fetched once.
///
/// # Errors
/// The package cannot be fetched.
pub fn sources() -> Result<PathBuf> {
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

/// Fetches with pip, so that index, proxy and certificates are the user's settings.
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

/// Rebuilds programs for another processor: `-march=native` is the same option everywhere, so make would see no difference.
fn compile(sources: &Path, build: &Path) -> Result<()> {
    if !is_for_this_machine(build)? {
        files::remove_folder(build)?;
    }
    files::make_folder(build)?;
    let header = build.with_file_name("amx.h");
    // Every object depends on this file, so its mtime must stay for an interrupted build to continue.
    if !header.is_file() || files::read(&header)? != AMX_HEADER {
        files::replace(&header, AMX_HEADER)?;
    }
    files::replace(&build.join(STAMP), &purpose()?)?;
    let mut configure = process::command("cmake");
    configure.arg("-S").arg(sources).arg("-B").arg(build);
    configure.args(OPTIONS).arg(format!(
        "-DCMAKE_CXX_FLAGS=-include \"{}\"",
        header.display()
    ));
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

/// The file that says what a build folder is for.
const STAMP: &str = "built-for";

fn is_for_this_machine(build: &Path) -> Result<bool> {
    let stamp = build.join(STAMP);
    Ok(stamp.is_file() && files::read(&stamp)? == purpose()?)
}

/// The identity of a build: its options and instructions.
fn purpose() -> Result<String> {
    Ok(format!(
        "{}\n{AMX_HEADER}\n{}\n",
        OPTIONS.join(" "),
        instructions()?
    ))
}

/// The processor's SIMD instructions in /proc/cpuinfo; empty if it lists none.
fn instructions() -> Result<String> {
    Ok(vector_words(&files::read(Path::new("/proc/cpuinfo"))?))
}

/// Other flags depend on the version of Linux, and no compiler uses them.
fn vector_words(cpuinfo: &str) -> String {
    let mut lines = cpuinfo.lines();
    let flags = lines.find(|line| line.starts_with("flags"));
    let vector = ["amx", "avx", "bmi", "f16c", "fma", "sse", "ssse"];
    let words = flags
        .unwrap_or_default()
        .split(' ')
        .filter(|flag| vector.iter().any(|begin| flag.starts_with(begin)));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_see_neither_our_libraries_nor_our_settings() -> Result<()> {
        let folder = tempfile::tempdir()?;
        std::os::unix::fs::symlink("/usr/bin/env", folder.path().join("llama-bench"))?;
        let peer = Peer::at(folder.path().to_owned());
        let said = process::output(&mut peer.command("llama-bench")?)?;
        let path = format!("LD_LIBRARY_PATH={}", files::real(folder.path())?.display());
        assert!(said.lines().any(|line| line == path), "{said}");
        // Cargo sets it for this test, as it sets the path of libraries.
        assert!(!said.contains("CARGO_MANIFEST_DIR"), "{said}");
        Ok(())
    }

    #[test]
    fn only_instructions_that_a_compiler_asks_for_count() {
        let text = "processor : 0\nflags\t\t: fpu sse2 ht avx2 tsc_known_freq amx_tile\n";
        assert_eq!(vector_words(text), "sse2 avx2 amx_tile");
        assert_eq!(vector_words("processor : 0\n"), "");
    }

    #[test]
    fn what_was_built_for_another_processor_is_not_taken() -> Result<()> {
        let folder = tempfile::tempdir()?;
        assert!(!is_for_this_machine(folder.path())?, "nothing is there");
        let stamp = folder.path().join(STAMP);
        files::replace(&stamp, &purpose()?)?;
        assert!(is_for_this_machine(folder.path())?);
        files::replace(&stamp, &format!("{} sse9", purpose()?))?;
        assert!(!is_for_this_machine(folder.path())?);
        Ok(())
    }
}
