//! `cargo xtask parity`: the same greedy text as llama.cpp's own program, on the same file.
//!
//! The comparison itself is the engine's example `parity`, because it looks at logits where the two part;
//! this builds what it needs and tells it where that is.

use std::path::PathBuf;

use anyhow::Result;

use crate::peer::Peer;
use crate::process;
use crate::workspace::Workspace;

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
    // The example starts the program that is built beside it.
    workspace.build(&["engine"])?;
    process::run(&mut workspace.cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "engine",
        "--example",
        "parity",
    ]))?;
    // Not by `cargo run`, which would put our libraries before those of llama.cpp's program.
    let mut example = process::command(workspace.release().join("examples/parity"));
    example
        .arg(std::path::absolute(&options.model)?)
        .arg(completion);
    process::run(&mut example)
}
