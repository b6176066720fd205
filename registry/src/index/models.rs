//! The list of models, kept so that listing reads changed manifests only.

use crate::{Digest, ModelEntry, ModelName, error::Result, fs::Stamp};

use super::{Index, StampColumns};

/// One line of the list and the stamp of the manifest it was made from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelRow {
    /// Stamp of the manifest file.
    pub(crate) stamp: Stamp,
    /// The line.
    pub(crate) entry: ModelEntry,
}

impl Index {
    /// Every line. An unreadable line is left out, and made again from its manifest.
    pub(crate) async fn models(&self) -> Result<Vec<ModelRow>> {
        let rows = sqlx::query!(
            "SELECT name, device, inode, size, modified, changed, digest, bytes, details, capabilities, damage FROM model"
        )
        .fetch_all(&self.reader)
        .await
        .map_err(|source| self.failed(source))?;
        let readable = rows.into_iter().filter_map(|row| {
            let stamp = Stamp::from(StampColumns {
                device: row.device,
                inode: row.inode,
                size: row.size,
                modified: row.modified,
                changed: row.changed,
            });
            let entry = ModelEntry {
                name: ModelName::parse(&row.name).ok()?,
                digest: Digest::parse(&row.digest).ok()?,
                size: row.bytes.cast_unsigned(),
                modified: stamp.modified(),
                details: serde_json::from_str(&row.details).ok()?,
                capabilities: serde_json::from_str(&row.capabilities).ok()?,
                damage: row.damage,
            };
            Some(ModelRow { stamp, entry })
        });
        Ok(readable.collect())
    }

    /// Inserts lines, and removes the lines of `gone` with their manifests.
    pub(crate) async fn record_models(&self, rows: &[ModelRow], gone: &[ModelName]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for name in gone {
            let name = name.full();
            sqlx::query!("DELETE FROM model WHERE name = ?", name)
                .execute(&mut *transaction)
                .await
                .map_err(|source| self.failed(source))?;
            sqlx::query!("DELETE FROM manifest WHERE name = ?", name)
                .execute(&mut *transaction)
                .await
                .map_err(|source| self.failed(source))?;
        }
        for ModelRow { stamp, entry } in rows {
            let (name, digest, at) = (
                entry.name.full(),
                entry.digest.to_string(),
                StampColumns::from(*stamp),
            );
            let bytes = entry.size.cast_signed();
            let details =
                serde_json::to_string(&entry.details).expect("details are texts and numbers");
            let capabilities =
                serde_json::to_string(&entry.capabilities).expect("capabilities are words");
            sqlx::query!(
                "INSERT OR REPLACE INTO model
                    (name, device, inode, size, modified, changed, digest, bytes, details, capabilities, damage)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                name,
                at.device,
                at.inode,
                at.size,
                at.modified,
                at.changed,
                digest,
                bytes,
                details,
                capabilities,
                entry.damage
            )
            .execute(&mut *transaction)
            .await
            .map_err(|source| self.failed(source))?;
        }
        transaction
            .commit()
            .await
            .map_err(|source| self.failed(source))
    }

    /// Removes lines that may be outdated: all of them, or only those of damaged models.
    pub(crate) async fn forget_models(&self, only_damaged: bool) -> Result<()> {
        self.execute(sqlx::query!(
            "DELETE FROM model WHERE damage IS NOT NULL OR NOT ?",
            only_damaged
        ))
        .await
    }
}
