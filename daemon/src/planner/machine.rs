//! The machine that a model is planned for.

use super::{DeviceId, Packing};

/// Memory, accelerators and what the processor does with weights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Main memory.
    pub host: Capacity,
    /// Accelerators in the order in which llama.cpp gives layers to them.
    pub accelerators: Vec<Accelerator>,
    /// Which weights the processor copies into a layout of its own.
    pub packing: Packing,
}

/// A device beside the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accelerator {
    /// Its name.
    pub id: DeviceId,
    /// Its memory.
    pub memory: Capacity,
}

/// Bytes of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    /// All of it.
    pub total: u64,
    /// What can be had now.
    pub free: u64,
}

impl Machine {
    /// The free memory of a device; 0 for an unknown device.
    #[must_use]
    pub fn free(&self, device: &DeviceId) -> u64 {
        if device.is_host() {
            return self.host.free;
        }
        let found = self.accelerators.iter().find(|known| known.id == *device);
        found.map_or(0, |found| found.memory.free)
    }
}
