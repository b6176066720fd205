//! The last good text of each manifest, to tell damage from a change and to mend it.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt as _;

use crate::{Digest, ModelName, error::Result, manifest::Manifest};

use super::Index;

/// A kept manifest without its text.
#[derive(Debug)]
pub(crate) struct KeptManifest {
    /// SHA-256 of the text.
    pub(crate) digest: Digest,
    /// The blobs that it names.
    pub(crate) blobs: HashSet<Digest>,
}

impl Index {
    /// Keeps the text of a manifest under its name, and replaces an older one.
    pub(crate) async fn keep_manifest(&self, name: &ModelName, text: &[u8]) -> Result<()> {
        let (name, digest) = (name.full(), Digest::of(text).to_string());
        self.execute(sqlx::query!(
            "INSERT OR REPLACE INTO manifest (name, digest, text) VALUES (?, ?, ?)",
            name,
            digest,
            text
        ))
        .await
    }

    /// The digest of the text that is kept for a name.
    pub(crate) async fn kept_digest(&self, name: &ModelName) -> Result<Option<Digest>> {
        let name = name.full();
        let digest = sqlx::query_scalar!("SELECT digest FROM manifest WHERE name = ?", name)
            .fetch_optional(&self.reader)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(digest.and_then(|digest| Digest::parse(&digest).ok()))
    }

    /// The indexed text of a name's manifest; `None` where there is none, or where its digest differs from the indexed digest.
    pub(crate) async fn kept_manifest(&self, name: &ModelName) -> Result<Option<Vec<u8>>> {
        let name = name.full();
        let row = sqlx::query!("SELECT digest, text FROM manifest WHERE name = ?", name)
            .fetch_optional(&self.reader)
            .await
            .map_err(|source| self.failed(source))?;
        let good = row.filter(|row| Digest::of(&row.text).to_string() == row.digest);
        Ok(good.map(|row| row.text))
    }

    /// All kept manifests by name. One text at a time is in memory.
    pub(crate) async fn kept_manifests(&self) -> Result<HashMap<ModelName, KeptManifest>> {
        let mut kept = HashMap::new();
        let mut rows = sqlx::query!("SELECT name, text FROM manifest").fetch(&self.reader);
        while let Some(row) = rows
            .try_next()
            .await
            .map_err(|source| self.failed(source))?
        {
            if let (Ok(name), Ok(manifest)) =
                (ModelName::parse(&row.name), Manifest::parse(&row.text))
            {
                let digest = Digest::of(&row.text);
                let blobs = manifest.blobs().map(|layer| layer.digest).collect();
                kept.insert(name, KeptManifest { digest, blobs });
            }
        }
        Ok(kept)
    }
}
