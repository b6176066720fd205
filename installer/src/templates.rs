//! `cargo xtask templates`: tries every chat template that llama.cpp ships, and writes the table in `docs/templates.md`.
//!
//! The trial itself is a test of the engine, `families`, because it looks at what no client sees;
//! this fetches the templates and tells it where they are. They stay in the cache: they have licences of their own.

use std::process::Command;

use anyhow::{Context, Result};

use installer::native::{self, Processors};
use installer::workspace::Workspace;
use installer::{files, peer, process, say};

/// The line of the page behind which the table stands.
const SEAM: &str = "<!-- The rest is written by `cargo xtask templates`. -->\n";

/// Runs the trial and writes the table.
///
/// # Errors
/// The templates cannot be fetched, or one that was read well before is not any more.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let folder = peer::sources()?.join("models/templates");
    let table = workspace.release().join("templates.md");
    native::prepare(workspace, Processors::Ours)?;
    let mut test = trial(workspace);
    test.env("SLM_TEMPLATES", &folder)
        .env("SLM_TEMPLATES_TABLE", &table);
    process::run(&mut test)?;
    let page = workspace.root().join("docs/templates.md");
    let text = files::read(&page)?;
    let (head, _) = text
        .split_once(SEAM)
        .with_context(|| format!("{} has lost the line before its table", page.display()))?;
    files::write_in_place(&page, &format!("{head}{SEAM}\n{}", files::read(&table)?))?;
    say::line(&format!("wrote {}", page.display()));
    Ok(())
}

/// The command that runs the trial.
pub(crate) fn trial(workspace: &Workspace) -> Command {
    let mut test = workspace.whole("test");
    test.args([
        "--lib",
        "families::families",
        "--",
        "--exact",
        "--nocapture",
    ]);
    test
}
