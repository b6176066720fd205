//! `cargo xtask parity`: the same greedy text as llama.cpp's own program, on the same file.
//!
//! The comparison itself is the engine's example `parity`, because it needs the logits where the texts diverge;
//! this command builds the programs and starts it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use installer::native::{self, Processors};
use installer::peer::Peer;
use installer::process;
use installer::workspace::Workspace;

/// What to compare on.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A GGUF file.
    #[arg(value_name = "FILE")]
    model: PathBuf,
}

/// Builds the engine and its example, and runs the comparison.
///
/// # Errors
/// llama.cpp's programs are missing, or the texts part by more than rounding.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let completion = Peer::find()?.program("llama-completion")?;
    native::prepare(workspace, Processors::Ours)?;
    process::run(&mut programs(workspace))?;
    // `cargo run` would put our libraries before those of llama.cpp's program.
    let mut example = process::command(workspace.release().join("examples/parity"));
    example
        .arg(std::path::absolute(&options.model)?)
        .arg(completion);
    process::run(&mut example)
}

/// The command that builds the example, and the program that it starts beside it.
pub(crate) fn programs(workspace: &Workspace) -> Command {
    let mut build = workspace.build(&["slm-runner"]);
    build.args(["--example", "parity"]);
    build
}
