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
    /// What the system says.
    pub machine: Machine,
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
