//! Progress of long operations, and their results.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{JobState, Pushed};

/// One line of progress of pull, push, create, adopt or verify. The last line of a success has `status: "success"`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Message: `pulling b179c9523d0e`, `writing manifest`, `success`.
    pub status: String,
    /// The blob of this line, as `sha256:<hex>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Total bytes, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Bytes done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<u64>,
    /// Id of the job, for a pull or a push (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u64>,
    /// New state of the job, if this line reports one (ours): `queued`, `paused` or `waiting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// Last line of pull (ours): the name of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Last line of push (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<Pushed>,
    /// Last line of adopt (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Adopted>,
    /// Last line of verify (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<VerifyReport>,
}

/// A file that was taken into the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Adopted {
    /// Its blob, as `sha256:<hex>`.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// How it got into the store.
    pub method: AdoptMethod,
}

/// How a file got into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdoptMethod {
    /// The blob was there already.
    Present,
    /// The blob shares its extents with the file, copy on write.
    Reflink,
    /// The blob is a hard link to the file.
    HardLink,
    /// The bytes were copied.
    Copy,
}

/// The result of verifying the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyReport {
    /// Number of names checked.
    pub models: u64,
    /// Number of blobs hashed.
    pub blobs: u64,
    /// Number of bytes hashed.
    pub bytes: u64,
    /// Damage found; empty for a clean store.
    pub damage: Vec<Damage>,
}

/// Answer of `POST /slm/v1/store/gc`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GcReport {
    /// Blobs that were removed, as `sha256:<hex>`.
    pub removed: Vec<String>,
    /// Number of models whose unfinished downloads were removed.
    #[serde(default)]
    pub downloads: u64,
    /// Bytes that were freed.
    pub bytes: u64,
    /// Models with damaged manifests. What they need is not known, so nothing is removed while there is one.
    pub blocked_by: Vec<String>,
    /// Number of unknown files among the manifests, which block the removal as well; the log names them.
    pub unknown_files: usize,
}

/// One damaged file of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Damage {
    /// The model that uses it; `None` for a file that no model names.
    pub model: Option<String>,
    /// The file, relative to the store.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub remedy: String,
    /// Whether the check repaired it.
    #[serde(default)]
    pub mended: bool,
}
