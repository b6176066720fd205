//! `cargo xtask sqlx`: updates `registry/.sqlx`, so that queries are checked at compile time without a database.

use anyhow::Result;

use installer::process;
use installer::workspace::Workspace;

/// Runs the registry's script, which creates a database from the migrations and compiles the queries against it.
///
/// # Errors
/// A migration does not run, or a query does not fit the tables.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    process::run(&mut process::command(
        workspace.root().join("registry/prepare-queries.sh"),
    ))
}
