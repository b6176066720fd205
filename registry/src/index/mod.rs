//! The index: what is known about the files of the store.
//!
//! The files are the truth. Each row about a file has the stamp that the file had; a row with another stamp is ignored.
//! So an index that is lost, or older than the files, only costs time, and the texts that mend damaged manifests.
//!
//! SQLite in WAL mode with `synchronous=FULL`: what was committed survives a power cut.
//! One connection writes, and begins each transaction as a writer, so that no transaction fails when it upgrades from reading.
//! A few others read. The schema is an append-only list of files in `registry/migrations`; an index with a newer one is refused.
//! Every query is checked at compile time against that schema, by the descriptions in `registry/.sqlx`
//! that `registry/prepare-queries.sh` makes.

mod blobs;
mod conversations;
mod jobs;
mod leases;
mod manifests;
mod memory;
mod models;
mod responses;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    Sqlite, SqlitePool, Transaction,
    migrate::{MigrateError, Migrator},
    query::Query,
    sqlite::{
        SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
        SqliteSynchronous,
    },
};

use crate::{
    error::{Error, Result},
    fs::{self, Stamp},
};

pub(crate) use manifests::KeptManifest;
pub(crate) use models::ModelRow;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long a statement waits for another process's lock; a user may have the file open with `sqlite3`.
const BUSY: Duration = Duration::from_secs(10);
/// Connections that read.
const READERS: u32 = 4;

/// The index of one home. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    writer: SqlitePool,
    reader: SqlitePool,
    path: PathBuf,
}

impl Index {
    /// Opens or makes the index, and brings its schema up to date.
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let failed = |source| index_error(path, source);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // The text of removed responses is overwritten where that costs no further writes.
            .pragma("secure_delete", "FAST")
            .busy_timeout(BUSY)
            .optimize_on_close(true, None);
        let writer = SqlitePoolOptions::new()
            .min_connections(1)
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await
            .map_err(failed)?;
        migrate(&writer, path).await?;
        // A reader that may not optimise fails to, and is then not waited for when it closes: the writer would not be the last,
        // and only the last connection to close writes back the log.
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_lazy_with(
                options
                    .read_only(true)
                    .create_if_missing(false)
                    .optimize_on_close(false, None),
            );
        Ok(Self {
            writer,
            reader,
            path: path.into(),
        })
    }

    /// Checkpoints the WAL, and closes.
    pub(crate) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        self.writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|source| self.failed(source))
    }

    /// Executes a statement that returns no rows.
    async fn execute(&self, statement: Query<'_, Sqlite, SqliteArguments>) -> Result<()> {
        let executed = statement.execute(&self.writer).await;
        executed.map(drop).map_err(|source| self.failed(source))
    }

    /// Makes the index look as if a later version had written it.
    #[cfg(test)]
    pub(crate) async fn pretend_version(&self, version: i64) {
        let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (?, '', 1, '', 0)";
        sqlx::query(sql)
            .bind(version)
            .execute(&self.writer)
            .await
            .expect("the table is there");
    }

    /// Ends every lease, as a day does.
    #[cfg(test)]
    pub(crate) async fn end_leases(&self) {
        sqlx::query("UPDATE lease SET expires_at = 0")
            .execute(&self.writer)
            .await
            .expect("the table is there");
    }

    /// Forgets the manifests, as if other programs had written them.
    #[cfg(test)]
    pub(crate) async fn forget_manifests(&self) {
        sqlx::query("DELETE FROM manifest")
            .execute(&self.writer)
            .await
            .expect("the table is there");
    }

    /// Removes everything that can be derived from the files.
    #[cfg(test)]
    pub(crate) async fn clear(&self) {
        for sql in ["DELETE FROM model", "DELETE FROM blob"] {
            sqlx::query(sql)
                .execute(&self.writer)
                .await
                .expect("the table is there");
        }
    }

    fn failed(&self, source: sqlx::Error) -> Error {
        index_error(&self.path, source)
    }
}

async fn migrate(writer: &SqlitePool, path: &Path) -> Result<()> {
    match MIGRATIONS.run(writer).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(_)) => {
            let newest = sqlx::query_scalar::<_, i64>("SELECT max(version) FROM _sqlx_migrations");
            let found = newest
                .fetch_one(writer)
                .await
                .map_err(|source| index_error(path, source))?;
            let known = MIGRATIONS
                .iter()
                .map(|migration| migration.version)
                .max()
                .unwrap_or(0);
            Err(Error::NewerSchema {
                path: path.into(),
                found,
                known,
            })
        }
        Err(MigrateError::Execute(source)) => Err(index_error(path, source)),
        Err(error) => Err(index_error(path, sqlx::Error::Migrate(Box::new(error)))),
    }
}

/// Tells a full disk and a damaged file from other errors, because a user can mend those two.
fn index_error(path: &Path, source: sqlx::Error) -> Error {
    // Primary result codes of SQLite: https://www.sqlite.org/rescode.html
    const CORRUPT: i32 = 11;
    const FULL: i32 = 13;
    const SHARED_MEMORY_SIZE: i32 = 10 | 19 << 8;
    const NOT_A_DATABASE: i32 = 26;
    let code = source
        .as_database_error()
        .and_then(|error| error.code())
        .and_then(|code| code.parse::<i32>().ok());
    // A WAL needs a shared-memory file beside it, for which a full disk has no room.
    let no_room = code == Some(SHARED_MEMORY_SIZE);
    match code.map(|code| code & 0xff) {
        Some(primary) if primary == FULL || no_room => Error::NoSpace {
            path: path.into(),
            needed: fs::BLOCK,
            available: fs::available(path),
        },
        Some(CORRUPT | NOT_A_DATABASE) => Error::DamagedIndex {
            path: path.into(),
            source,
        },
        _ => Error::Index {
            path: path.into(),
            source,
        },
    }
}

/// A stamp in the five columns that hold one. SQLite has no unsigned integers, so device and inode keep their bits.
struct StampColumns {
    device: i64,
    inode: i64,
    size: i64,
    modified: i64,
    changed: i64,
}

impl From<Stamp> for StampColumns {
    fn from(stamp: Stamp) -> Self {
        Self {
            device: stamp.device.cast_signed(),
            inode: stamp.inode.cast_signed(),
            size: stamp.size.cast_signed(),
            modified: stamp.modified,
            changed: stamp.changed,
        }
    }
}

impl From<StampColumns> for Stamp {
    fn from(columns: StampColumns) -> Self {
        Self {
            device: columns.device.cast_unsigned(),
            inode: columns.inode.cast_unsigned(),
            size: columns.size.cast_unsigned(),
            modified: columns.modified,
            changed: columns.changed,
        }
    }
}
