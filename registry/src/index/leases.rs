//! Leases: blobs that are kept although no manifest names them yet.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;

use crate::{Digest, error::Result};

use super::Index;

/// How long a blob that was sent or asked after waits for the manifest that names it.
const LEASE: Duration = Duration::from_secs(24 * 60 * 60);

impl Index {
    /// Keeps a blob for [`LEASE`] from now.
    pub(crate) async fn lease(&self, digest: &Digest) -> Result<()> {
        let (digest, until) = (digest.to_string(), (Timestamp::now() + LEASE).as_second());
        sqlx::query!(
            "INSERT OR REPLACE INTO lease (digest, expires_at) VALUES (?, ?)",
            digest,
            until
        )
        .execute(&self.writer)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(())
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

    /// The blobs under lease at `now`; older leases are over and go.
    pub(crate) async fn leased(&self, now: Timestamp) -> Result<HashSet<Digest>> {
        let now = now.as_second();
        let rows = sqlx::query_scalar!("SELECT digest FROM lease WHERE expires_at > ?", now)
            .fetch_all(&self.writer)
            .await
            .map_err(|source| self.failed(source))?;
        // To delete a row takes space, and whoever asks may be about to make some.
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
