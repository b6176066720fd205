//! `GET /slm/v1/devices` (ours): what this machine can compute on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The hardware of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DevicesResponse {
    /// When the devices were probed. Main memory is that of now.
    #[schema(value_type = String, format = DateTime)]
    pub probed_at: Timestamp,
    /// Why the probe failed; then only the system's files were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Name and version of the engine.
    pub engine: String,
    /// The processor first, then usable devices, then the rest.
    pub devices: Vec<DeviceFacts>,
    /// The installed backend modules of accelerators.
    pub backends: Vec<BackendFacts>,
    /// Main memory; absent if the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<HostMemory>,
    /// The processor in detail.
    pub processor: ProcessorFacts,
    /// How fast memory and products are; absent before they were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<MeasuredFacts>,
    /// The file system of the store; absent if the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskFacts>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceFacts {
    /// Its name in llama.cpp if it is usable, such as `CPU` or `CUDA0`; else its PCI address or its name by the system.
    pub id: String,
    /// `cpu`, `gpu`, `integrated_gpu`, `npu`, or `screen` for an adapter that only shows a picture.
    pub kind: String,
    /// Its name, for people.
    pub name: String,
    /// Whether models can use it.
    pub usable: bool,
    /// The backend that models use it through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// The driver with its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Bytes of its memory, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total: Option<u64>,
    /// Free bytes of it when it was probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_free: Option<u64>,
    /// Whether its memory is a part of main memory.
    pub memory_shared: bool,
    /// Why it is not usable, or what limits it, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The command that helps, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// An installed backend module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackendFacts {
    /// Its name, such as `vulkan`.
    pub name: String,
    /// What it computes on, for people.
    pub about: String,
    /// Why it cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Main memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostMemory {
    /// What the system has.
    pub total: u64,
    /// What models can still take: the system's estimate, and no more than the limits of control groups leave.
    pub free: u64,
    /// The smallest limit of a control group of the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Size of the swap space.
    pub swap: u64,
    /// Percentage of the last ten seconds in which some program waited for memory; absent if the system does not measure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<f64>,
}

/// The processor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessorFacts {
    /// Its name.
    pub model: String,
    /// Its architecture, such as `x86_64`.
    pub architecture: String,
    /// Number of packages.
    pub packages: u32,
    /// Number of cores.
    pub cores: u32,
    /// Number of the fastest cores, on processors with cores of several kinds; else the same as `cores`.
    pub performance_cores: u32,
    /// Number of hardware threads.
    pub threads: u32,
    /// The number of them that the daemon may use, by affinity and quota.
    pub usable_threads: u32,
    /// The threads that compute a model by default.
    pub default_threads: u32,
    /// The processors' worth of time that control groups permit, if they limit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<f64>,
    /// Instruction sets that matter for inference, by the names of the Linux kernel.
    pub instructions: Vec<String>,
    /// The CPU module that llama.cpp would choose, such as `CPU (zen4)`.
    pub module: String,
    /// slm's kernels: `on`, `off` or `unavailable`.
    pub kernels: String,
    /// Its caches, the smallest level first.
    pub caches: Vec<CacheFacts>,
    /// Its NUMA nodes.
    pub numa_nodes: Vec<NumaNodeFacts>,
}

/// Equal caches of one level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CacheFacts {
    /// 1 is the nearest to the core.
    pub level: u32,
    /// `Data`, `Instruction` or `Unified`.
    pub kind: String,
    /// Bytes of each.
    pub size: u64,
    /// How many there are.
    pub count: u32,
}

/// A NUMA node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NumaNodeFacts {
    /// Its number.
    pub id: u32,
    /// Number of its hardware threads.
    pub threads: u32,
    /// Bytes of its memory.
    pub memory: u64,
}

/// How fast this machine reads memory and computes products.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MeasuredFacts {
    /// Bytes per second that one thread reads from memory; zero if it could not be measured.
    pub bandwidth_one: f64,
    /// The same for all threads that compute.
    pub bandwidth_all: f64,
    /// The chosen way for each type of weights, such as `Q4_0=repack`, or `Q8_0=ours/plain` where small and large batches differ.
    pub choices: Vec<String>,
    /// The times of products.
    pub products: Vec<ProductFacts>,
}

/// The time of one product.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProductFacts {
    /// Type of its weights, such as `Q4_K`.
    pub weights: String,
    /// Number of its inputs.
    pub columns: u32,
    /// How it was computed: `plain` and `ours` with the weights of the file, `repack` and `amx` with packed ones.
    pub way: String,
    /// Nanoseconds of one thread for each input and each 1,000 weights.
    pub nanoseconds: f32,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskFacts {
    /// Where it is mounted.
    pub mount: String,
    /// Its type, such as `ext4`.
    pub file_system: String,
    /// Its device.
    pub device: String,
    /// Whether the device has rotating disks; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotational: Option<bool>,
    /// Whether another machine has it.
    pub remote: bool,
    /// Whether it is in main memory.
    pub in_memory: bool,
    /// Its size in bytes.
    pub total: u64,
    /// Bytes that can still be written.
    pub free: u64,
}
