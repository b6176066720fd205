//! What is known about the files of blobs.

use jiff::Timestamp;

use crate::{Digest, error::Result, facts::Facts, fs::Stamp};

use super::{Index, StampColumns};

/// Version of the strict GGUF reader. Raising it has every file read again.
const READER: i64 = 6;

/// What is known about a file under its current stamp.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct BlobRow {
    /// It was hashed and is good.
    pub(crate) verified: bool,
    /// The result of the strict reader: facts, or why it refused; `None` before the first read.
    pub(crate) gguf: Option<Result<Facts, String>>,
}

impl Index {
    /// What is known about a blob whose file has this stamp.
    pub(crate) async fn blob(&self, digest: &Digest, stamp: Stamp) -> Result<BlobRow> {
        let digest = digest.to_string();
        let row = sqlx::query!(
            "SELECT device, inode, size, modified, changed, verified_at, reader, facts, problem FROM blob WHERE digest = ?",
            digest
        )
        .fetch_optional(&self.reader)
        .await
        .map_err(|source| self.failed(source))?;
        let Some(row) = row else {
            return Ok(BlobRow::default());
        };
        let columns = StampColumns {
            device: row.device,
            inode: row.inode,
            size: row.size,
            modified: row.modified,
            changed: row.changed,
        };
        if Stamp::from(columns) != stamp {
            return Ok(BlobRow::default());
        }
        let gguf = match (row.reader, row.facts, row.problem) {
            // Unreadable facts count as unknown.
            (Some(READER), Some(facts), _) => serde_json::from_str(&facts).ok().map(Ok),
            (Some(READER), None, Some(problem)) => Some(Err(problem)),
            _ => None,
        };
        Ok(BlobRow {
            verified: row.verified_at.is_some(),
            gguf,
        })
    }

    /// Records that a blob is good under this stamp, and drops what was known under another one.
    pub(crate) async fn record_verified(&self, digest: &Digest, stamp: Stamp) -> Result<()> {
        let (digest, now, at) = (
            digest.to_string(),
            Timestamp::now().as_second(),
            StampColumns::from(stamp),
        );
        self.execute(sqlx::query!(
            "INSERT INTO blob (digest, device, inode, size, modified, changed, verified_at) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (digest) DO UPDATE SET
                reader = iif((device, inode, size, modified, changed)
                    = (excluded.device, excluded.inode, excluded.size, excluded.modified, excluded.changed), reader, NULL),
                device = excluded.device, inode = excluded.inode, size = excluded.size,
                modified = excluded.modified, changed = excluded.changed, verified_at = excluded.verified_at",
            digest,
            at.device,
            at.inode,
            at.size,
            at.modified,
            at.changed,
            now
        )).await
    }

    /// Records the result of the strict reader under this stamp.
    pub(crate) async fn record_gguf(
        &self,
        digest: &Digest,
        stamp: Stamp,
        gguf: &Result<Facts, String>,
    ) -> Result<()> {
        let (digest, at) = (digest.to_string(), StampColumns::from(stamp));
        let facts = gguf
            .as_ref()
            .ok()
            .map(|facts| serde_json::to_string(facts).expect("facts are texts and numbers"));
        let problem = gguf.as_ref().err();
        self.execute(sqlx::query!(
            "INSERT INTO blob (digest, device, inode, size, modified, changed, reader, facts, problem)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (digest) DO UPDATE SET
                verified_at = iif((device, inode, size, modified, changed)
                    = (excluded.device, excluded.inode, excluded.size, excluded.modified, excluded.changed), verified_at, NULL),
                device = excluded.device, inode = excluded.inode, size = excluded.size,
                modified = excluded.modified, changed = excluded.changed,
                reader = excluded.reader, facts = excluded.facts, problem = excluded.problem",
            digest,
            at.device,
            at.inode,
            at.size,
            at.modified,
            at.changed,
            READER,
            facts,
            problem
        )).await
    }

    /// Removes the rows of removed blobs.
    pub(crate) async fn forget_blobs(&self, digests: &[Digest]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for digest in digests {
            let digest = digest.to_string();
            sqlx::query!("DELETE FROM blob WHERE digest = ?", digest)
                .execute(&mut *transaction)
                .await
                .map_err(|source| self.failed(source))?;
        }
        transaction
            .commit()
            .await
            .map_err(|source| self.failed(source))
    }
}
