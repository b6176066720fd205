//! Progress of long work, and what came of it.

use serde::{Deserialize, Serialize};

use crate::{JobState, Pushed};

/// One line of the progress of pull, push, create, adopt and verify. The last one of a success has `status: "success"`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is going on, for people: `pulling b179c9523d0e`, `writing manifest`, `success`.
    pub status: String,
    /// The blob this is about, as `sha256:<hex>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Bytes in all, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Bytes done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<u64>,
    /// The job that this line is of, where it is a transfer (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u64>,
    /// The state that the job came to, where this line tells of one (ours): `queued`, `paused` or `waiting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// Last line of pull (ours): the name that the model has.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// Its blob, as `sha256:<hex>`.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// How it got there.
    pub method: AdoptMethod,
}

/// How a file got into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdoptMethod {
    /// The blob was there already.
    Present,
    /// Shares its extents with the file, copy on write.
    Reflink,
    /// A second name of the same file.
    HardLink,
    /// Bytes were copied.
    Copy,
}

/// What a check of the store found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Names that were checked.
    pub models: u64,
    /// Blobs that were hashed.
    pub blobs: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// What is wrong; empty when the store is clean.
    pub damage: Vec<Damage>,
}

/// One thing that is wrong in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The model it concerns; `None` for a file that no model names.
    pub model: Option<String>,
    /// The file, relative to the store.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub remedy: String,
    /// The check has mended it: nothing is wrong any more.
    #[serde(default)]
    pub mended: bool,
}
