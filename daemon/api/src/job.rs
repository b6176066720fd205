//! Transfers as jobs (ours): what `GET /api/jobs` lists, and what `POST /api/jobs/{id}/…` changes.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A transfer that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Short, and never given to another job of the same home.
    pub id: u64,
    /// Which way the bytes go.
    pub kind: JobKind,
    /// The name that the model has in the store.
    pub model: String,
    /// How far it is.
    pub state: JobState,
    /// Why it waits or failed, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it goes on by itself, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Which of the queued jobs goes first.
    pub priority: Priority,
    /// Whether it goes on when no client listens.
    pub background: bool,
    /// Bytes that are here.
    pub completed: u64,
    /// Bytes in all, as far as that is known yet.
    pub total: u64,
    /// Bytes per second, over the last seconds.
    pub rate: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
}

/// Which way the bytes of a job go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// A model is fetched.
    Pull,
    /// A model is sent.
    Push,
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Push => "push",
        })
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It starts as soon as another one leaves its place.
    Queued,
    /// Its bytes move.
    Running,
    /// Somebody stopped it; its bytes are kept until it is resumed.
    Paused,
    /// It waits for a time or a network.
    Waiting,
    /// The model is where it was to be.
    Done,
    /// It ended with an error.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl JobState {
    /// Whether nothing more happens by itself, and nothing is to be paused.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// Which of the queued jobs goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// After all others; makes room for a high one also while it runs.
    Low,
    /// In the order in which they were asked for.
    #[default]
    Normal,
    /// Before all others.
    High,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        })
    }
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "low" => Ok(Self::Low),
            "normal" => Ok(Self::Normal),
            "high" => Ok(Self::High),
            _ => Err(format!("{text:?} must be low, normal or high")),
        }
    }
}

/// Answer of `GET /api/jobs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobsResponse {
    /// By id, the oldest first.
    pub jobs: Vec<Job>,
}
