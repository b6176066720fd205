//! A store of its own for the measurement, with one model in it, and the executables that work on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::server::{Server, free_port};
use crate::workspace::Workspace;
use crate::{files, process, say};

/// Where a measurement takes place.
#[derive(Debug)]
pub(super) struct Site {
    executables: PathBuf,
    home: tempfile::TempDir,
    model: String,
    port: u16,
}

impl Site {
    /// Makes an empty store and pulls the model into it.
    ///
    /// # Errors
    /// The model cannot be had.
    pub(super) fn make(workspace: &Workspace, model: &str) -> Result<Self> {
        let site = Self {
            executables: workspace.release(),
            home: tempfile::Builder::new()
                .prefix("bench-")
                .tempdir_in(workspace.release())?,
            model: model.to_owned(),
            port: free_port()?,
        };
        say::title("pull");
        let _daemon = site.daemon()?;
        process::run(site.slm().args(["pull", model]))?;
        Ok(site)
    }

    /// Name of the model.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// The client, pointed at this store and its port.
    pub(super) fn slm(&self) -> Command {
        self.program("slm")
    }

    /// The folder that the client and the daemon of this site keep everything in.
    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A running daemon with nothing loaded.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn daemon(&self) -> Result<Server> {
        Server::start(&mut self.program("slmd"), self.port, "/api/version")
    }

    /// A running daemon whose runners compute nothing.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn daemon_with_mock(&self) -> Result<Server> {
        let mut command = self.program("slmd");
        command.env("SLM_RUNNER", self.executables.join("slm-mock-runner"));
        Server::start(&mut command, self.port, "/api/version")
    }

    /// The file with the model's weights, which llama.cpp can read too.
    ///
    /// # Errors
    /// The model is not in the store.
    pub(super) fn weights(&self) -> Result<PathBuf> {
        let models = self.home.path().join("models");
        let manifest = models
            .join("manifests/registry.ollama.ai/library")
            .join(&self.model)
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
        Ok(models.join("blobs").join(digest.replace(':', "-")))
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
