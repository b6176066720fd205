//! Jobs: transfers that survive a restart.

use crate::error::Result;

use super::Index;

/// A row of the table of jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobRow {
    pub(crate) id: i64,
    pub(crate) record: String,
}

impl Index {
    /// All jobs by id.
    pub(crate) async fn jobs(&self) -> Result<Vec<JobRow>> {
        sqlx::query_as!(JobRow, "SELECT id, record FROM job ORDER BY id")
            .fetch_all(&self.writer)
            .await
            .map_err(|source| self.failed(source))
    }

    /// The highest id that a job ever had; 0 before the first.
    pub(crate) async fn last_job(&self) -> Result<i64> {
        let last = sqlx::query_scalar!(
            r#"SELECT CAST(seq AS INTEGER) AS "seq!: i64" FROM sqlite_sequence WHERE name = 'job'"#
        )
        .fetch_optional(&self.writer)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(last.unwrap_or(0))
    }

    /// Saves a job, and replaces its earlier record.
    pub(crate) async fn save_job(&self, id: i64, record: &str) -> Result<()> {
        self.execute(sqlx::query!(
            "INSERT INTO job (id, record) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            id,
            record
        )).await
    }

    /// Removes a job.
    pub(crate) async fn forget_job(&self, id: i64) -> Result<()> {
        self.execute(sqlx::query!("DELETE FROM job WHERE id = ?", id))
            .await
    }
}
