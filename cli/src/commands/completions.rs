//! `slm completions`: a script that completes commands in a shell.

use clap::CommandFactory as _;

use crate::args::{Cli, Completions};
use crate::exit::Exit;
use crate::output::Output;

/// Prints the script.
pub(crate) fn run(out: &Output, args: &Completions) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "slm", &mut script);
    out.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
