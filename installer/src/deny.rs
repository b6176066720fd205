//! `cargo-deny`, which checks the dependency graph against `deny.toml`; built once into the cache if it is missing.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use installer::workspace::Workspace;
use installer::{environment, process, say};

/// The pinned version, so that every machine has the same result.
const VERSION: &str = "0.20.2";

/// The checks that need no network.
///
/// Advisories need a fresh database from the network; `cargo deny check advisories` fetches it where that is possible.
const CHECKS: [&str; 3] = ["bans", "licenses", "sources"];

/// The command that checks the graph, with the tool installed if need be.
///
/// # Errors
/// The tool is missing and cannot be built.
pub(crate) fn command(workspace: &Workspace) -> Result<Command> {
    let tool = tool()?;
    let mut command = process::command(tool);
    command
        .current_dir(workspace.root())
        .args(["--locked", "check"])
        .args(CHECKS);
    Ok(command)
}

fn tool() -> Result<PathBuf> {
    let own = environment::cache()?.join("tools/bin/cargo-deny");
    let found = environment::which("cargo-deny")
        .into_iter()
        .chain([own.clone()])
        .find(is_right_version);
    match found {
        Some(path) => Ok(path),
        None => install().map(|()| own),
    }
}

fn is_right_version(path: &PathBuf) -> bool {
    path.is_file()
        && process::output(process::command(path).arg("--version"))
            .is_ok_and(|text| text.trim().ends_with(VERSION))
}

/// Builds it without optimisation: it runs for a second, and is compiled in a third of the time.
fn install() -> Result<()> {
    say::line(&format!(
        "building cargo-deny {VERSION} into the cache (once, a few minutes)"
    ));
    let mut command = process::command(environment::cargo());
    command
        .args([
            "install",
            "cargo-deny",
            "--version",
            VERSION,
            "--locked",
            "--debug",
            "--no-default-features",
            "--root",
        ])
        .arg(environment::cache()?.join("tools"))
        // Without these, cargo would build it in the folder and with the settings of this project.
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(environment::home()?);
    process::run(&mut command)
        .context("cannot install cargo-deny; install it by hand and run again")
}
