//! `slm reference`: pages generated from the definition of the command line.

use clap::CommandFactory as _;

use crate::args::{Cli, Reference};
use crate::error::Failure;
use crate::exit::Exit;
use crate::fs;
use crate::output::Output;

/// Prints the reference in Markdown, or writes the manual pages into a folder.
pub(crate) fn run(out: &Output, args: &Reference) -> anyhow::Result<Exit> {
    let Some(folder) = &args.man else {
        out.print(&crate::reference())?;
        return Ok(Exit::Ok);
    };
    fs::make_folder(folder)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(|error| {
        let text = format!("cannot write manual pages into `{}`", folder.display());
        Failure::new(format!("{text}: {error}"))
    })?;
    Ok(Exit::Ok)
}
