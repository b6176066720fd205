//! What a model would take before it is loaded, or even fetched.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /slm/v1/plan` (ours).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanRequest {
    /// A model of the store, or what `/api/pull` takes; then only headers are fetched.
    pub model: String,
    /// Context in tokens; without one, the setting `context_length`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    /// Slots; without a number, the setting `parallel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Type of the KV cache: `f16`, `q8_0` or `q4_0`; without one, the setting `kv_cache_type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_type: Option<String>,
    /// Devices of the plan beside main memory, such as `CUDA0`, all of one backend; `cpu` for main memory alone. An empty list takes the
    /// devices of a load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device: Vec<String>,
    /// Allow a connection without TLS to the source.
    #[serde(default)]
    pub insecure: bool,
}

/// Answer of `POST /slm/v1/plan` (ours).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanResponse {
    /// The model.
    pub model: String,
    /// Where its headers were read: `the store`, or the source.
    pub place: String,
    /// Whether it fits the memory that is free now, with the settings that were asked for.
    pub fits: bool,
    /// The settings that were asked for, and what they take.
    pub asked: PlanChoice,
    /// The settings that would be chosen for the memory that is free now, if they differ and there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<PlanChoice>,
    /// The devices with their memory.
    pub devices: Vec<PlanDevice>,
    /// What would help, if nothing fits.
    #[serde(default)]
    pub help: Vec<String>,
}

/// Settings of a load, and the memory that they take.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanChoice {
    /// Context in tokens.
    pub context: u32,
    /// Slots.
    pub slots: u32,
    /// Type of the KV cache.
    pub kv_type: String,
    /// Layers on accelerators, the output counted as one.
    pub gpu_layers: u32,
    /// Bytes on all devices.
    pub total: u64,
    /// The parts of these bytes.
    pub parts: Vec<PlanPart>,
    /// Tokens per second of one answer at half the context, predicted from the bandwidth of memory, which is an upper bound; absent where
    /// the bandwidth of a device is not measured, and for a model that generates no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// Why it is so, one sentence each.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// The bytes of one part on one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanPart {
    /// What it holds, such as `KV cache`.
    pub part: String,
    /// The device.
    pub device: String,
    /// Its size.
    pub bytes: u64,
}

/// The memory of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanDevice {
    /// Its name, as in `slm devices`.
    pub device: String,
    /// All of its memory in bytes.
    pub total: u64,
    /// Bytes that can be had now.
    pub free: u64,
}
