//! `cargo xtask templates`: tests every chat template of llama.cpp, and writes the table in `docs/templates.md`.
//!
//! The test itself is `families` in the engine, because it uses private items of the engine; this command fetches the templates and starts
//! it. The templates stay in the cache, because they have separate licences.

use std::process::Command;

use anyhow::{Context, Result};

use installer::native::{self, Processors};
use installer::workspace::Workspace;
use installer::{files, peer, process, say};

/// The line in `docs/templates.md` that precedes the table.
const SEAM: &str = "<!-- The rest is written by `cargo xtask templates`. -->\n";

/// Runs the test and writes the table.
///
/// # Errors
/// The templates cannot be fetched, or a template that passed before fails.
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

/// The command that runs the test.
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
