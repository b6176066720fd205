//! What the probe process prints: the facts of the system, and what backends and driver libraries say.

use serde::{Deserialize, Serialize};

use crate::Machine;

/// The output of `slm-runner probe`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Name and version of the engine.
    pub engine: String,
    /// The processor with the CPU module that llama.cpp would choose, such as `CPU (zen4)`.
    pub processor: String,
    /// Whether slm's kernels compute on the CPU: `on`, `off` or `unavailable`.
    pub kernels: String,
    /// The default number of threads that compute.
    pub threads: u32,
    /// Why the CPU module could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The installed backend modules of accelerators.
    pub backends: Vec<ModuleReport>,
    /// What NVIDIA's management library says; absent without an NVIDIA GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvml: Option<NvmlReport>,
    /// How far a runner can confine itself here; absent if it could not be tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxReport>,
    /// What the system says.
    pub machine: Machine,
}

/// How far a runner can confine itself on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxReport {
    /// The level that it reaches, such as `strict`.
    pub level: String,
    /// What keeps it from the highest level, in one line for people; empty at that level.
    pub lacks: String,
}

/// An installed backend module, and what it said in a separate process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModuleReport {
    /// Its name, such as `vulkan`.
    pub backend: String,
    /// What it computes on, for people.
    pub about: String,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The devices that it found.
    pub devices: Vec<BackendDevice>,
}

/// A device as a backend of llama.cpp sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendDevice {
    /// Its name in llama.cpp, such as `Vulkan0`.
    pub name: String,
    /// Its name by the driver, such as `NVIDIA L40S`.
    pub description: String,
    /// `gpu`, `integrated-gpu`, `accelerator` or `cpu`.
    pub kind: String,
    /// Its PCI address, if the backend tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<String>,
    /// Its memory in bytes.
    pub memory_total: u64,
    /// Free bytes of it.
    pub memory_free: u64,
}

/// What NVIDIA's management library says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NvmlReport {
    /// Why it cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The version of the driver.
    pub driver: String,
    /// The newest version of CUDA that the driver supports, such as `12.8`.
    pub cuda: String,
    /// The cards.
    pub cards: Vec<NvmlCard>,
}

/// An NVIDIA card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NvmlCard {
    /// Its name.
    pub name: String,
    /// Its PCI address.
    pub bus: String,
    /// Its memory in bytes; zero where it shares main memory.
    pub memory_total: u64,
    /// Free bytes of it.
    pub memory_free: u64,
}

/// What `slm-runner probe measure` prints: how fast this machine reads memory and computes products.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The threads whose bandwidth is `bandwidth_all`; products were computed with one.
    pub threads: u32,
    /// Whether other programs disturbed it so little that it may decide.
    pub quiet: bool,
    /// Bytes per second that one thread reads from memory; zero if it could not be measured.
    pub bandwidth_one: f64,
    /// The same for all these threads together.
    pub bandwidth_all: f64,
    /// The time of each product.
    pub products: Vec<ProductTime>,
    /// The fastest way for each type of weights, as runners take it: `Q4_0=repack`.
    pub choices: Vec<String>,
}

/// The time of one product.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProductTime {
    /// Type of its weights, such as `Q4_K`.
    pub weights: String,
    /// Number of its inputs: 1 for the next token of one answer, many for a prompt.
    pub columns: u32,
    /// How it was computed: `plain` and `ours` with the weights of the file, `repack` and `amx` with packed ones.
    pub way: String,
    /// Nanoseconds of one thread for each input and each 1,000 weights.
    pub nanoseconds: f32,
}
