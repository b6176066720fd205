//! `cargo xtask sqlx`: writes `registry/.sqlx` again, so that queries are checked at compile time without a database.
//!
//! A database is made from the migrations alone, then the crate is compiled against it;
//! the query macros leave one description per query behind.

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;
use crate::{files, process, say};

/// Runs each migration, in the order of its file name, on a new database.
const MIGRATE: &str = "\
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
for path in sys.argv[2:]:
    with open(path, encoding='utf-8') as file:
        database.executescript(file.read())
database.close()
";

/// Describes every query again.
///
/// # Errors
/// A migration does not run, or a query does not fit the tables.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let registry = workspace.root().join("registry");
    let descriptions = registry.join(".sqlx");
    let migrations: Vec<_> = files::list(&registry.join("migrations"))?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    ensure!(
        !migrations.is_empty(),
        "there are no migrations in {}",
        registry.display()
    );

    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let database = folder.path().join("registry.db");
    process::run(
        process::command("python3")
            .args(["-c", MIGRATE])
            .arg(&database)
            .args(&migrations),
    )?;

    files::make_folder(&descriptions)?;
    for stale in files::list(&descriptions)? {
        files::remove(&stale)?;
    }
    // The macros run only when the crate is compiled, so it must not be found fresh.
    process::run(&mut workspace.cargo(&["clean", "--quiet", "--release", "-p", "registry"]))?;
    let mut check = workspace.cargo(&["check", "--release", "--locked", "-p", "registry"]);
    check
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &descriptions)
        .env("DATABASE_URL", format!("sqlite://{}", database.display()));
    process::run(&mut check)?;
    say::line(&format!(
        "{} queries are described in {}",
        files::list(&descriptions)?.len(),
        descriptions.display()
    ));
    Ok(())
}
