//! `cargo xtask bench`: measures the built executables from outside, and writes the first table of `docs/benchmarks.md`.
//!
//! Everything is measured several times; where two servers are compared they run side by side on one machine in one run,
//! and take turns, so that whatever else the machine does meets both alike.

mod overhead;
mod report;
mod server;
mod site;
mod start;
mod statistics;
mod stream;
mod table;
mod versus;

use anyhow::{Context, Result, ensure};

use crate::machine::Machine;
use crate::peer::Peer;
use crate::workspace::Workspace;
use crate::{files, say};

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name of the model.
    #[arg(long, default_value = "smollm2")]
    model: String,
    /// How often each thing is measured, at least 5.
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Print the table and leave the page alone.
    #[arg(long)]
    print: bool,
}

/// Builds, measures, and writes the table.
///
/// # Errors
/// Something could not be built, started or measured.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    ensure!(
        options.runs >= 5,
        "fewer than 5 runs give no median worth writing down"
    );
    let peer = Peer::find()?;
    workspace.build(&["cli", "daemon", "engine", "runner"])?;
    let machine = Machine::look(workspace)?;
    let site = site::Site::make(workspace, &options.model)
        .context("cannot set up a store to measure in")?;

    say::title("start");
    let start = start::measure(&site, options.runs)?;
    say::title("side by side");
    let versus = versus::measure(&site, &peer, options.runs)?;

    say::title("overhead");
    let request = overhead::measure(&site, options.runs)?;

    let report = report::text(&machine, options, &start, &versus, &request);
    say::line(&report);
    if !options.print {
        let page = workspace.root().join("docs/benchmarks.md");
        files::replace(&page, &table::fill(&files::read(&page)?, &report)?)?;
        say::line(&format!("written to {}", page.display()));
    }
    Ok(())
}
