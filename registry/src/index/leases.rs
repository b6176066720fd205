//! Leases: blobs that are kept before a manifest names them.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;

use crate::{Digest, error::Result};

use super::Index;

/// How long an uploaded or requested blob waits for a manifest that names it.
const LEASE: Duration = Duration::from_secs(24 * 60 * 60);

impl Index {
    /// Keeps a blob for [`LEASE`] from now.
    pub(crate) async fn lease(&self, digest: &Digest) -> Result<()> {
        let (digest, until) = (digest.to_string(), (Timestamp::now() + LEASE).as_second());
        self.execute(sqlx::query!(
            "INSERT OR REPLACE INTO lease (digest, expires_at) VALUES (?, ?)",
            digest,
            until
        ))
        .await
    }

    /// Ends leases on blobs that a manifest names now.
    pub(crate) async fn release(&self, digests: &[Digest]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for digest in digests {
            let digest = digest.to_string();
            sqlx::query!("DELETE FROM lease WHERE digest = ?", digest)
                .execute(&mut *transaction)
                .await
                .map_err(|source| self.failed(source))?;
        }
        transaction
            .commit()
            .await
            .map_err(|source| self.failed(source))
    }

    /// The leased blobs at `now`; expired leases are removed.
    pub(crate) async fn leased(&self, now: Timestamp) -> Result<HashSet<Digest>> {
        let now = now.as_second();
        let rows = sqlx::query_scalar!("SELECT digest FROM lease WHERE expires_at > ?", now)
            .fetch_all(&self.writer)
            .await
            .map_err(|source| self.failed(source))?;
        // Deleting a row takes space, and the caller may be about to free some.
        if let Err(error) = sqlx::query!("DELETE FROM lease WHERE expires_at <= ?", now)
            .execute(&self.writer)
            .await
        {
            tracing::warn!(%error, "leases that are over stay in the index for now");
        }
        Ok(rows
            .iter()
            .filter_map(|digest| Digest::parse(digest).ok())
            .collect())
    }
}
