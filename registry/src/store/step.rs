//! The steps of a write, by name, so that tests can stop a process after each of them.

use std::{fmt, sync::Arc};

/// A finished step. A crash can happen between any two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A temporary file was made for a blob.
    TempFileCreated,
    /// All bytes of the blob were written to the temporary file and hashed on the way.
    TempFileWritten,
    /// The temporary file is synced.
    TempFileSynced,
    /// Size and digest are the expected ones.
    TempFileCompared,
    /// The index holds a lease on the blob that is about to appear.
    BlobLeased,
    /// The blob is renamed to its digest.
    BlobRenamed,
    /// The folder of the blobs is synced.
    BlobFolderSynced,
    /// The index knows that the blob is good.
    BlobRecorded,
    /// A manifest was written to a temporary file.
    ManifestWritten,
    /// The temporary file of the manifest is synced.
    ManifestSynced,
    /// The manifest is renamed to its name: the model is published.
    ManifestRenamed,
    /// The folder of the manifest is synced.
    ManifestFolderSynced,
    /// The index lists the model.
    ManifestRecorded,
    /// A manifest was removed, and the model with it.
    NameRemoved,
    /// The removal is synced.
    NameFolderSynced,
    /// The index no longer lists the model.
    NameForgotten,
    /// A blob that nothing names was removed.
    BlobRemoved,
    /// A damaged blob was moved aside.
    BlobQuarantined,
    /// The folder of a model's states was made for the next state.
    StateFolderMade,
    /// On opening: temporary files are removed.
    TempFilesRemoved,
    /// On opening: the index is open and of the current schema.
    IndexOpened,
}

impl Step {
    /// Every step after which blobs and models must be whole. Saved states may be lost in a crash.
    pub const ALL: [Self; 20] = [
        Self::TempFileCreated,
        Self::TempFileWritten,
        Self::TempFileSynced,
        Self::TempFileCompared,
        Self::BlobLeased,
        Self::BlobRenamed,
        Self::BlobFolderSynced,
        Self::BlobRecorded,
        Self::ManifestWritten,
        Self::ManifestSynced,
        Self::ManifestRenamed,
        Self::ManifestFolderSynced,
        Self::ManifestRecorded,
        Self::NameRemoved,
        Self::NameFolderSynced,
        Self::NameForgotten,
        Self::BlobRemoved,
        Self::BlobQuarantined,
        Self::TempFilesRemoved,
        Self::IndexOpened,
    ];
}

/// Called after each [`Step`]. Does nothing unless a test put something in.
#[derive(Clone, Default)]
pub struct StepHook(Option<Arc<dyn Fn(Step) + Send + Sync>>);

impl StepHook {
    /// Calls `hook` after each step, on the thread that did it.
    pub fn new(hook: impl Fn(Step) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(crate) fn call(&self, step: Step) {
        if let Some(hook) = &self.0 {
            hook(step);
        }
    }
}

impl fmt::Debug for StepHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "StepHook(set)"
        } else {
            "StepHook"
        })
    }
}
