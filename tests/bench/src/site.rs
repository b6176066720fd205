//! A temporary store for the measurement, with the executables that use it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::server::{Server, free_port};
use super::subject::Subject;
use installer::{files, process};

/// The store and the programs of a measurement.
#[derive(Debug)]
pub(super) struct Site {
    executables: PathBuf,
    home: tempfile::TempDir,
    port: u16,
}

impl Site {
    /// Creates an empty store in `folder` for these executables.
    ///
    /// # Errors
    /// The folder cannot be written to, or an executable is missing.
    pub(super) fn make(executables: &Path, folder: &Path) -> Result<Self> {
        for name in ["slm", "slmd", "slm-runner", "slm-mock-runner"] {
            let path = executables.join(name);
            ensure!(path.is_file(), "there is no {}", path.display());
        }
        files::make_folder(folder)?;
        Ok(Self {
            executables: executables.to_owned(),
            home: tempfile::Builder::new()
                .prefix("bench-")
                .tempdir_in(folder)?,
            port: free_port()?,
        })
    }

    /// Pulls a model into the store.
    ///
    /// # Errors
    /// It cannot be pulled.
    pub(super) fn pull(&self, name: &str) -> Result<Subject> {
        let _daemon = self.daemon(&[])?;
        process::run(self.slm().args(["pull", "--quiet", name]))?;
        self.subject(name)
    }

    /// Creates a model from local weights: a GGUF file, or a folder that `slm create` accepts.
    ///
    /// # Errors
    /// The daemon refuses it.
    pub(super) fn create(&self, name: &str, weights: &Path) -> Result<Subject> {
        let weights = std::path::absolute(weights)?;
        let recipe = self.home.path().join(format!("{name}.modelfile"));
        files::replace(&recipe, &format!("FROM {}\n", weights.display()))?;
        let _daemon = self.daemon(&[])?;
        process::run(
            self.slm()
                .args(["create", "--quiet", name, "-f"])
                .arg(&recipe),
        )?;
        self.subject(name)
    }

    /// The client for this store and its port.
    pub(super) fn slm(&self) -> Command {
        self.program("slm")
    }

    /// The help of `slmd`.
    ///
    /// # Errors
    /// It cannot be run.
    pub(super) fn daemon_help(&self) -> Result<String> {
        process::output(self.program("slmd").arg("--help"))
    }

    /// The home of the client and the daemon.
    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A running daemon without a loaded model, with these settings.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn daemon(&self, settings: &[(&str, &str)]) -> Result<Server> {
        let mut command = self.program("slmd");
        command.envs(settings.iter().copied());
        Server::start(&mut command, self.port, "/api/version")
    }

    /// A running daemon with mock runners and these settings.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn daemon_with_mock(&self, settings: &[(&str, &str)]) -> Result<Server> {
        let mut command = self.program("slmd");
        command
            .env("SLM_RUNNER", self.executables.join("slm-mock-runner"))
            .envs(settings.iter().copied());
        Server::start(&mut command, self.port, "/api/version")
    }

    /// A model in the store, with the file of its weights.
    fn subject(&self, name: &str) -> Result<Subject> {
        let models = self.home.path().join("models");
        let manifest = models
            .join("manifests/registry.ollama.ai/library")
            .join(name)
            .join("latest");
        let manifest: Value = serde_json::from_str(&files::read(&manifest)?)?;
        let layers = manifest["layers"]
            .as_array()
            .context("the manifest has no layers")?;
        let digest = layers
            .iter()
            .find(|layer| layer["mediaType"] == "application/vnd.ollama.image.model")
            .and_then(|layer| layer["digest"].as_str())
            .context("the manifest names no weights")?;
        Ok(Subject {
            name: name.to_owned(),
            weights: models.join("blobs").join(digest.replace(':', "-")),
        })
    }

    /// Another executable beside ours.
    pub(super) fn executable(&self, name: &str) -> PathBuf {
        self.executables.join(name)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = process::command(self.executables.join(name));
        // The client finds the daemon by its home, other programs by its port.
        command
            .env("SLM_HOME", self.home.path())
            .env("SLM_PORT", self.port.to_string())
            .env_remove("SLM_HOST");
        command
    }
}
