//! Saved jobs, and removing the partial blobs of cancelled ones.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::FutureExt as _;

use crate::{Digest, ModelName, Registry, error::Result, store::Store};

/// How long a cancelled transfer may take to release its blob: a busy disk takes seconds to sync the last bytes.
const LETTING_GO: Duration = Duration::from_secs(10);

/// A job as it was last saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedJob {
    /// Its id.
    pub id: u64,
    /// What was saved; the store does not read it.
    pub record: String,
}

/// Every job that was saved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedJobs {
    /// The jobs by id.
    pub jobs: Vec<SavedJob>,
    /// The highest id that a job ever had; 0 before the first.
    pub last: u64,
}

impl Registry {
    /// The jobs that were saved.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn saved_jobs(&self) -> Result<SavedJobs> {
        let rows = self.0.index.jobs().await?;
        let last = self.0.index.last_job().await?;
        let jobs = rows.into_iter().map(|row| SavedJob {
            id: row.id.cast_unsigned(),
            record: row.record,
        });
        Ok(SavedJobs {
            jobs: jobs.collect(),
            last: last.cast_unsigned(),
        })
    }

    /// Saves a job, and replaces its earlier record. Once this returns, the job survives a crash.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn save_job(&self, job: &SavedJob) -> Result<()> {
        self.0
            .index
            .save_job(job.id.cast_signed(), &job.record)
            .await
    }

    /// Removes a job. Its id is not used again.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn forget_job(&self, id: u64) -> Result<()> {
        self.0.index.forget_job(id.cast_signed()).await
    }

    /// Every blob that was fetched in part: the models that it was fetched for, and its bytes.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn partials(&self) -> Result<Vec<(BTreeSet<String>, u64)>> {
        self.on_disk(Store::partials).await
    }

    /// Removes the partial blobs of a model. Blobs that another model needs too stay.
    /// Returns how many bytes were removed.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub async fn remove_partials(&self, model: &ModelName) -> Result<u64> {
        let name = model.to_string();
        let of_model = name.clone();
        let keys = self
            .on_disk(move |store| store.partials_of(&of_model))
            .await?;
        let removing = keys.into_iter().map(|key| {
            let (registry, name) = (self.clone(), name.clone());
            registry.remove_partial(key, name).boxed()
        });
        let removed = futures::future::try_join_all(removing).await?;
        Ok(removed.into_iter().sum())
    }

    async fn remove_partial(self, key: Digest, name: String) -> Result<u64> {
        let one = self.fetching(&key);
        let Ok(alone) = tokio::time::timeout(LETTING_GO, one.lock_owned()).await else {
            // Another pull fetches the same blob.
            return Ok(0);
        };
        self.on_disk(move |store| {
            let _alone = alone;
            store.remove_partial(&key, &name)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Options;
    use crate::store::Partial;
    use crate::store::Wanted;

    async fn open(home: &std::path::Path) -> Registry {
        Registry::open(Options::new(home)).await.expect("it opens")
    }

    fn job(id: u64, record: &str) -> SavedJob {
        SavedJob {
            id,
            record: record.to_owned(),
        }
    }

    #[tokio::test]
    async fn jobs_are_there_after_a_restart_and_ids_are_never_used_again() {
        let home = tempfile::tempdir().expect("a folder");
        let registry = open(home.path()).await;
        assert_eq!(registry.saved_jobs().await.unwrap(), SavedJobs::default());
        registry.save_job(&job(1, "one")).await.unwrap();
        registry.save_job(&job(2, "two")).await.unwrap();
        registry.save_job(&job(1, "uno")).await.unwrap();
        registry.forget_job(2).await.unwrap();
        registry.close().await;
        drop(registry);
        let saved = open(home.path()).await.saved_jobs().await.unwrap();
        assert_eq!(saved.jobs, [job(1, "uno")]);
        assert_eq!(saved.last, 2);
    }

    #[tokio::test]
    async fn bytes_go_with_the_last_model_that_they_were_fetched_for() {
        let home = tempfile::tempdir().expect("a folder");
        let registry = open(home.path()).await;
        let [one, two] = ["one", "two"].map(|name| ModelName::parse(name).unwrap());
        let begin = |text: &'static [u8], model: &ModelName| {
            let wanted = Wanted {
                key: Digest::of(text),
                digest: Some(Digest::of(text)),
                size: Some(100),
                model: model.to_string(),
            };
            registry.on_disk(move |store| {
                let mut partial: Partial = store.partial(wanted)?;
                partial.put(0, b"0123456789")?;
                partial.write_note()
            })
        };
        begin(b"own", &one).await.unwrap();
        begin(b"shared", &one).await.unwrap();
        begin(b"shared", &two).await.unwrap();
        assert_eq!(registry.remove_partials(&one).await.unwrap(), 10);
        let left = registry.on_disk(|store| Ok(store.partial_bytes(&Digest::of(b"shared"))));
        assert_eq!(left.await.unwrap(), 10);
        assert_eq!(registry.remove_partials(&one).await.unwrap(), 0);
        assert_eq!(registry.remove_partials(&two).await.unwrap(), 10);
        let files = std::fs::read_dir(home.path().join("ingest"));
        assert!(files.is_ok_and(|mut files| files.next().is_none()));
    }
}
