//! What the system says about the hardware of a machine: memory and its limits, processor, GPUs, NPUs, disks.
//!
//! Everything is read from the files of the Linux kernel below a [`Root`] that the caller gives, so that tests read the files of
//! other machines. No driver library is loaded, no device is opened and no program is started here, so reading is safe in any process;
//! [`Memory::read`] and [`Pressure::read`] take well under a millisecond.
//!
//! The files are not trusted: each read has a limit, and a value that is missing or malformed is absent from the result.
//! What the driver libraries and the backends of llama.cpp say is read in the probe process, `slm-runner probe`, and comes as a
//! [`Report`]; [`Inventory::of`] puts everything together.

mod accelerator;
mod backends;
mod cgroup;
mod disk;
mod gpu;
mod inventory;
mod list;
mod memory;
mod npu;
mod pci;
mod platform;
mod pressure;
mod processor;
mod report;
mod root;

pub use accelerator::{Access, Node};
pub use backends::{BACKENDS, BackendKind};
pub use cgroup::Cgroups;
pub use disk::Disk;
pub use gpu::{Gpu, GpuKind, GpuMemory};
pub use inventory::{Code, Device, DeviceKind, DeviceMemory, Inventory, Obstacle};
pub use memory::Memory;
pub use npu::Npu;
pub use pci::Vendor;
pub use platform::{Platform, Virtual};
pub use pressure::{Pressure, Stall};
pub use processor::{Cache, CoreKind, NumaNode, Processor};
pub use report::{
    BackendDevice, Measurement, ModuleReport, NvmlCard, NvmlReport, ProductTime, Report,
    SandboxReport,
};
pub use root::Root;

use serde::{Deserialize, Serialize};

/// What the system says about this machine at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The kind of machine.
    pub platform: Platform,
    /// Main memory; absent if the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// How much programs wait for memory.
    pub pressure: Pressure,
    /// The processor.
    pub processor: Processor,
    /// The GPUs and display adapters.
    pub gpus: Vec<Gpu>,
    /// The NPUs.
    pub npus: Vec<Npu>,
}

impl Machine {
    /// Reads everything below this root. It takes some milliseconds, and longer with many processors.
    pub fn read(root: &Root) -> Self {
        let cgroups = Cgroups::find(root);
        Self {
            platform: Platform::read(root),
            memory: Memory::read(root, &cgroups),
            pressure: Pressure::read(root, &cgroups),
            processor: Processor::read(root, &cgroups),
            gpus: gpu::read(root),
            npus: npu::read(root),
        }
    }
}
