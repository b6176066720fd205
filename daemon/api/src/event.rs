//! Events of the daemon (ours): what it loads, unloads and refuses, with the reason, the states of jobs, and changed settings.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Job;

/// One event of `GET /slm/v1/events` and `GET /slm/v1/why`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Grows with each event, also over restarts. A client that sends it as `Last-Event-ID` gets the events after it.
    pub id: u64,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The model; empty for `missed`, `configured` and `config_refused`.
    pub model: String,
    /// What happened and why, for people, with the numbers that decided.
    pub text: String,
    /// What programs read.
    #[serde(flatten)]
    pub facts: EventFacts,
}

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A load began.
    Loading,
    /// A model is loaded.
    Loaded,
    /// A load failed.
    LoadFailed,
    /// A load was cancelled, because no request waited for it any more.
    LoadCancelled,
    /// A busy model takes no new requests, because another model needs its slot.
    Draining,
    /// A model is being unloaded.
    Unloading,
    /// A model is unloaded.
    Unloaded,
    /// The runner of a model crashed.
    Crashed,
    /// A request for a model was refused.
    Refused,
    /// A model is pinned.
    Pinned,
    /// A model is not pinned any more.
    Unpinned,
    /// A variant of the model was chosen for a pull.
    Variant,
    /// A job changed its state.
    Job,
    /// A changed `config.yaml` is applied, or all catalogs are in force again.
    Configured,
    /// A changed `config.yaml` or a catalog is refused, and its last good version stays in force.
    ConfigRefused,
    /// Events were left out, because the client read too slowly or came too late.
    Missed,
}

/// The facts of an event, as far as its kind has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventFacts {
    /// Tokens of the context (`loading`, `loaded`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    /// Bytes of memory and of devices (`loaded`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The device (`loaded`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Nanoseconds of the load (`loaded`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_duration: Option<u64>,
    /// The code of the error (`refused`, `load_failed`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The job (`job`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
}

/// Answer of `GET /slm/v1/why`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyResponse {
    /// The loaded models; with `model`, that one or none.
    pub loaded: Vec<crate::LoadedModel>,
    /// The last events of the models without jobs, the oldest first.
    pub events: Vec<Event>,
}
