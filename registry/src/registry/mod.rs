//! The interface to everything on disk, and the locks between its operations.
//!
//! Operations run concurrently. Three things protect them from each other:
//!
//! - The **gate**: an operation holds it shared while it publishes a blob or a manifest or begins to rely on blobs, and never while bytes move.
//!   Garbage collection holds it exclusively. So collection waits for no download, and no download waits for collection.
//! - **Pins**: blobs that a running operation relies on; collection skips them. They end with the operation.
//!   A blob that waits for a later request is kept by a lease in the index instead.
//! - The **names lock**: one change of names at a time, so that files and index change in the same order.
//!
//! A change of the store runs in a detached task, so a dropped caller does not stop it half-way.

mod adapted;
mod blobs;
mod copy;
mod create;
mod describe;
mod descriptions;
mod gc;
mod headers;
mod jobs;
mod limits;
mod list;
mod load;
mod logins;
mod memory;
mod ready;
mod remove;
mod responses;
mod settle;
mod show;
mod split;
mod states;
mod take;
#[cfg(test)]
mod tests;
mod translated;
mod verify;

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicU64},
};

use tokio::sync::{Mutex as AsyncMutex, RwLock};

use crate::{
    Digest,
    error::{Error, Result},
    index::Index,
    store::{Lock, Step, StepHook, Store},
    transfer::Connections,
};

pub use adapted::AdaptedModel;
pub use blobs::Put;
pub use create::{Base, Create, ModelRef, Weights};
pub use gc::GcReport;
pub use headers::ModelMemory;
pub use jobs::{SavedJob, SavedJobs};
pub use logins::{LoggedIn, NewLogin};
pub use memory::MeasuredMemory;
pub use responses::{ItemPage, ItemQuery, SavedConversation, SavedItem, SavedResponse};
pub use split::FileNames;
pub use states::{NewState, SavedState, StateId};
pub use verify::{DamagedBlob, DamagedModel, VerifyOptions, VerifyReport};

/// How to open a [`Registry`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that holds everything. It is made if it is not there.
    pub home: PathBuf,
    /// Called after each step of a write. Does nothing unless a test says otherwise.
    pub hook: StepHook,
    /// The most bytes per second that all transfers over HTTP take together; `None` sets no limit.
    pub pull_rate: Option<NonZeroU64>,
}

impl Options {
    /// The store below `home`.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            hook: StepHook::default(),
            pull_rate: None,
        }
    }
}

/// Everything on disk. Cheap to clone; dropping the last clone releases the home.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    store: Store,
    index: Index,
    gate: RwLock<()>,
    names: AsyncMutex<()>,
    /// How many operations rely on each blob. Never locked across an await.
    pins: Mutex<HashMap<Digest, usize>>,
    /// A lock for each blob that is being hashed, so that no two operations hash it at once. Never locked across an await.
    turns: Mutex<HashMap<Digest, Weak<AsyncMutex<()>>>>,
    /// Which blobs are being fetched, so that each is fetched once. Never locked across an await.
    fetching: Mutex<HashMap<Digest, Weak<AsyncMutex<()>>>>,
    /// Which uploads are under way, so that no two pushes share one. Never locked across an await.
    uploading: Mutex<HashMap<Digest, Weak<AsyncMutex<()>>>>,
    /// One change of the user's logins at a time. Never locked across an await.
    logins: Mutex<()>,
    /// Descriptions of models by the digest of their manifest.
    descriptions: descriptions::Descriptions,
    /// Counts the changes of names.
    revision: AtomicU64,
    /// How many operations read or write whole files at a time.
    limits: limits::Limits,
    /// The connections of all transfers.
    connections: Connections,
    _lock: Lock,
}

impl Registry {
    /// Opens the folder for this process alone, and removes what a crash left half-written.
    ///
    /// No model is looked at, so opening takes as long with many as with none.
    /// The index is brought up to date with the files by [`Registry::list`]; nothing else relies on it being so.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process works on the folder; [`Error::NewerSchema`] and [`Error::DamagedIndex`] when the
    /// index cannot be used; otherwise when the folder cannot be read or written.
    pub async fn open(options: Options) -> Result<Self> {
        let Options {
            home,
            hook,
            pull_rate,
        } = options;
        let (store, lock) = blocking(move || {
            let store = Store::open(&home, hook)?;
            let lock = store.lock()?;
            store.remove_temp_files()?;
            store.done(Step::TempFilesRemoved);
            Ok((store, lock))
        })
        .await?;
        let index = Index::open(&store.index()).await?;
        store.done(Step::IndexOpened);
        Ok(Self(Arc::new(Inner {
            store,
            index,
            gate: RwLock::default(),
            names: AsyncMutex::default(),
            pins: Mutex::default(),
            turns: Mutex::default(),
            fetching: Mutex::default(),
            uploading: Mutex::default(),
            logins: Mutex::default(),
            descriptions: descriptions::Descriptions::default(),
            revision: AtomicU64::new(0),
            limits: limits::Limits::default(),
            connections: Connections::capped(pull_rate),
            _lock: lock,
        })))
    }

    /// The folder that holds everything.
    pub fn home(&self) -> &Path {
        self.0.store.home()
    }

    /// Changes the most bytes per second of all transfers over HTTP together, also of running ones; `None` sets no limit.
    pub fn set_pull_rate(&self, rate: Option<NonZeroU64>) {
        self.0.connections.cap_at(rate);
    }

    /// Closes the index. Later operations fail; dropping the last clone releases the home.
    pub async fn close(&self) {
        self.0.index.close().await;
    }

    /// Runs file work on a thread where it may block.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.0.store.clone();
        blocking(move || work(&store)).await
    }

    /// Runs `work` to its end even if the caller goes away.
    pub(crate) async fn detached<T, F>(&self, work: impl FnOnce(Self) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        tokio::spawn(work(self.clone()))
            .await
            .map_err(Error::Task)?
    }

    /// Keeps blobs from collection until the returned pins are dropped. The caller holds the gate.
    fn pin(&self, digests: impl IntoIterator<Item = Digest>) -> Pins {
        let digests: Vec<Digest> = digests.into_iter().collect();
        let mut pins = relock(&self.0.pins);
        for digest in &digests {
            *pins.entry(*digest).or_insert(0) += 1;
        }
        Pins {
            inner: self.0.clone(),
            digests,
        }
    }

    /// The lock for hashing a blob.
    fn turn(&self, digest: &Digest) -> Arc<AsyncMutex<()>> {
        one_of(&self.0.turns, digest)
    }

    /// The lock for fetching a blob, by the key of its partial file.
    pub(crate) fn fetching(&self, key: &Digest) -> Arc<AsyncMutex<()>> {
        one_of(&self.0.fetching, key)
    }

    /// The lock for uploading a blob to a registry, by the key of the upload's note.
    pub(crate) fn uploading(&self, key: &Digest) -> Arc<AsyncMutex<()>> {
        one_of(&self.0.uploading, key)
    }

    /// The connections of all transfers.
    pub(crate) fn connections(&self) -> Connections {
        self.0.connections.clone()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.home()).finish()
    }
}

/// Blobs that collection skips until this is dropped.
pub(crate) struct Pins {
    inner: Arc<Inner>,
    digests: Vec<Digest>,
}

impl Drop for Pins {
    fn drop(&mut self) {
        let mut pins = relock(&self.inner.pins);
        for digest in &self.digests {
            if let Some(count) = pins.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    pins.remove(digest);
                }
            }
        }
    }
}

/// The lock of a blob; all holders get the same one.
fn one_of(
    table: &Mutex<HashMap<Digest, Weak<AsyncMutex<()>>>>,
    digest: &Digest,
) -> Arc<AsyncMutex<()>> {
    let mut table = relock(table);
    table.retain(|_, lock| lock.strong_count() > 0);
    let lock = table
        .get(digest)
        .and_then(Weak::upgrade)
        .unwrap_or_default();
    table.insert(*digest, Arc::downgrade(&lock));
    lock
}

/// A poisoned lock is taken: each change of these tables is one call, so a panic leaves them consistent.
fn relock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::Task)?
}
