//! The folders of the project and its build output, from cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{environment, process};

/// The programs that `cargo xtask bench` measures, and those that write its models.
pub const MEASURED: [&str; 7] = [
    "slm",
    "slmd",
    "slm-runner",
    "slm-mock-runner",
    "slm-bare-client",
    "gguf-writer",
    "origin",
];

/// The folders of this checkout.
#[derive(Debug, Deserialize)]
pub struct Workspace {
    /// Top folder of the project.
    #[serde(rename = "workspace_root")]
    root: PathBuf,
    /// Cargo's target folder.
    #[serde(rename = "target_directory")]
    target: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// We are not inside the project, or cargo cannot read it.
    pub fn find() -> Result<Self> {
        let mut question = process::command(environment::cargo());
        question.args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
        let answer = process::output(&mut question).context("cannot find the project")?;
        serde_json::from_str(&answer).context("cannot read what cargo says of the project")
    }

    /// Top folder of the project.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target folder.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where release executables are.
    pub fn release(&self) -> PathBuf {
        self.target.join("release")
    }

    /// A cargo command that runs at the top of the project.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = process::command(environment::cargo());
        command.current_dir(&self.root).args(arguments);
        command
    }

    /// A cargo command on the whole workspace, in release, exactly as locked.
    ///
    /// Cargo joins the features of all packages that a command selects, and builds a package again where that gives another set.
    /// So every command selects the whole workspace, whatever it builds of it, and llama.cpp is built once; `units` tests it.
    pub fn whole(&self, verb: &str) -> Command {
        self.cargo(&[verb, "--release", "--locked", "--workspace"])
    }

    /// The command that builds some executables.
    pub fn build(&self, programs: &[&str]) -> Command {
        let mut build = self.whole("build");
        build.args(programs.iter().flat_map(|program| ["--bin", program]));
        build
    }

    /// The command that builds and starts the benches. Paths in its arguments are seen from the current folder.
    pub fn bench(&self) -> Command {
        let mut command = process::command(environment::cargo());
        command
            .args(["run", "--quiet", "--release", "--locked"])
            .args(["--package", "bench", "--"]);
        command
    }
}
