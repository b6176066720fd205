//! The files of the store.
//!
//! ```text
//! $SLM_HOME/
//!   models/                                      the shape of an Ollama models folder
//!     blobs/sha256-<64 hex>                      0444, never changes
//!     manifests/<host>/<namespace>/<model>/<tag>
//!   ingest/draft-<number>                        files being written; worthless after a crash
//!   ingest/part-<64 hex>{,.json}                 blobs being fetched and what is there of them, see `partial`; kept over a crash
//!   ingest/upload-<64 hex>.json                  where a registry takes the rest of a blob, see `uploads`; kept over a crash
//!   ingest/wheel-<random>/                       packages being fetched; worthless after a crash
//!   kv/<64 hex of a model>/<64 hex>              0600, saved states: what runners had computed, see `registry::states`
//!   kv/draft-<number>                            states being written; worthless after a crash
//!   derived/v<n>/<64 hex of a blob>.<part>       0444, what its weights or their projector are in llama.cpp's layout, see `translate`
//!   derived/catalogs/<name>.yaml                 the last good version of each catalog, see `catalog`
//!   credentials.json                             0600, logins, see `credentials`
//!   id_ed25519{,.pub}                            0600, the key that registries of Ollama's know the user by
//!   quarantine/sha256-<64 hex>.<n>               blobs whose bytes were not theirs; nothing here is ever loaded
//!   quarantine/sha256-<64 hex>.manifest          manifests that were damaged and mended, by what they had become
//!   registry.db                                  the index, see `index`
//!   run/lock                                     held by the process at work, with its number in it
//! ```
//!
//! **Locks.** `run/lock` admits one process to a home; everything else is locked inside that process
//! (see [`crate::Registry`]).
//!
//! **What a crash leaves.** Temporary files and folders without states, which the next start removes; blobs that nothing names yet, which [`crate::Registry::gc`] removes
//! when their lease is over; an index that lags behind the files, which the next list brings up to date.
//! A manifest is published last and by a rename, so a name leads to its old model or to its new one, whole.
//!
//! **Other versions.** The folder below `models/` is Ollama's; Ollama can work in it while no process of ours does.

mod blobs;
mod derived;
mod ingest;
mod lock;
mod manifests;
mod partial;
mod states;
mod step;
mod uploads;

use std::path::{Path, PathBuf};

use crate::{Digest, ModelName, error::Result, fs};

pub(crate) use blobs::Check;
pub(crate) use derived::Derived;
pub(crate) use ingest::{Ingest, TempBlob};
pub(crate) use lock::Lock;
pub(crate) use manifests::{ManifestFile, ManifestNames, StampedName};
pub(crate) use partial::{Partial, Wanted, total};
pub(crate) use states::TempState;
pub use step::{Step, StepHook};
pub(crate) use uploads::UploadNote;

/// Start of the names of the folders in `ingest/` that packages are fetched into.
pub(crate) const FETCH_PREFIX: &str = "wheel-";

/// The files of one home.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    home: PathBuf,
    hook: StepHook,
}

impl Store {
    /// Makes the folders of a home that are not there yet.
    pub(crate) fn open(home: &Path, hook: StepHook) -> Result<Self> {
        let store = Self {
            home: home.into(),
            hook,
        };
        for folder in [
            store.blobs(),
            store.manifests(),
            store.temp_folder(),
            store.quarantine_folder(),
            store.run(),
        ] {
            fs::create_folders(&folder)?;
        }
        fs::make_private(&store.run())?;
        // Also for existing folders: the process that made them may have been killed before its sync.
        fs::sync_folder(&store.models())?;
        fs::sync_folder(home)?;
        Ok(store)
    }

    /// The folder itself.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// The index.
    pub(crate) fn index(&self) -> PathBuf {
        self.home.join("registry.db")
    }

    /// Where a blob lies or would lie.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.file_name())
    }

    /// Removes what was being written when the last process ended, and partial blobs that were idle for a month.
    pub(crate) fn remove_temp_files(&self) -> Result<()> {
        for name in fs::names(&self.temp_folder())? {
            let path = self.temp_folder().join(&name);
            let is_old = name.starts_with(partial::PREFIX) && !self.is_kept_partial(&name);
            let is_over = name.starts_with(uploads::PREFIX) && !self.is_kept_upload(&name);
            if name.starts_with(ingest::PREFIX) || is_old || is_over {
                fs::remove(&path)?;
            } else if name.starts_with(FETCH_PREFIX)
                && let Err(error) = fs::remove_tree(&path)
            {
                // A child of the process that was killed may still be writing there. The next start removes it.
                tracing::warn!(%error, "an unfinished download stays behind until the next start");
            }
        }
        self.remove_temp_states()
    }

    /// Reports a finished step of a write to the hook.
    pub(crate) fn done(&self, step: Step) {
        self.hook.call(step);
    }

    /// Checks that so many more bytes fit on the disk.
    pub(crate) fn room_for(&self, needed: u64) -> Result<()> {
        fs::require(&self.temp_folder(), needed)
    }

    fn run(&self) -> PathBuf {
        self.home.join("run")
    }

    fn models(&self) -> PathBuf {
        self.home.join("models")
    }

    fn blobs(&self) -> PathBuf {
        self.models().join("blobs")
    }

    fn manifests(&self) -> PathBuf {
        self.models().join("manifests")
    }

    fn temp_folder(&self) -> PathBuf {
        self.home.join("ingest")
    }

    fn states(&self) -> PathBuf {
        self.home.join("kv")
    }

    /// The folder of the user's catalogs.
    pub(crate) fn catalogs(&self) -> PathBuf {
        self.home.join("catalogs")
    }

    /// The folder with the last good version of each of them.
    pub(crate) fn kept_catalogs(&self) -> PathBuf {
        self.derived().join("catalogs")
    }

    fn derived(&self) -> PathBuf {
        self.home.join("derived")
    }

    fn quarantine_folder(&self) -> PathBuf {
        self.home.join("quarantine")
    }

    fn manifest(&self, name: &ModelName) -> PathBuf {
        name.folders()
            .iter()
            .fold(self.manifests(), |path, part| path.join(part))
    }
}
