//! Which layers are computed by which accelerator.

use registry::memory::MemoryFacts;

use super::{DeviceId, Machine};

/// Layers on accelerators. Those of no accelerator are computed on the processor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offload {
    /// The last layers of the model, in order; the output counts as one layer more, behind the others.
    pub layers: Vec<LayerShare>,
    /// How many of these layers leave their experts in main memory, the first ones first.
    pub experts_on_host: u32,
}

/// Neighbouring layers of one accelerator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerShare {
    /// The accelerator.
    pub device: DeviceId,
    /// How many layers.
    pub count: u32,
}

impl Offload {
    /// What llama.cpp does with the setting `gpu_layers`: so many of the last layers, or all for −1, are divided by free memory
    /// (`load_tensors` in `src/llama-model.cpp`).
    #[must_use]
    pub fn of(gpu_layers: i32, model: &MemoryFacts, machine: &Machine) -> Self {
        let all = layer_count(model).saturating_add(1);
        let wanted = u32::try_from(gpu_layers).map_or(all, |count| count.min(all));
        let free: u64 = machine
            .accelerators
            .iter()
            .fold(0, |sum, device| sum.saturating_add(device.memory.free));
        if wanted == 0 || free == 0 {
            return Self::default();
        }
        let mut layers = Vec::new();
        let (mut passed, mut given) = (0_u64, 0);
        for device in &machine.accelerators {
            passed = passed.saturating_add(device.memory.free);
            let until = u128::from(wanted) * u128::from(passed) / u128::from(free);
            let until = u32::try_from(until).unwrap_or(wanted);
            if until > given {
                let (device, count) = (device.id.clone(), until - given);
                layers.push(LayerShare { device, count });
            }
            given = until;
        }
        Self {
            layers,
            experts_on_host: 0,
        }
    }

    /// How many layers are on accelerators, the output counted.
    #[must_use]
    pub fn count(&self) -> u32 {
        let shares = self.layers.iter();
        shares.fold(0, |sum, share| sum.saturating_add(share.count))
    }

    /// The device of a layer; the number of layers itself means the output.
    #[must_use]
    pub fn device_of(&self, layer: u32, layers: u32) -> DeviceId {
        let first = layers.saturating_add(1).saturating_sub(self.count());
        let Some(mut place) = layer.checked_sub(first) else {
            return DeviceId::host();
        };
        for share in &self.layers {
            match place.checked_sub(share.count) {
                Some(rest) => place = rest,
                None => return share.device.clone(),
            }
        }
        DeviceId::host()
    }

    /// Whether a layer on an accelerator leaves its experts in main memory.
    #[must_use]
    pub fn leaves_experts(&self, layer: u32, layers: u32) -> bool {
        let first = layers.saturating_add(1).saturating_sub(self.count());
        layer >= first && layer - first < self.experts_on_host
    }
}

/// The number of layers without the output.
pub(super) fn layer_count(model: &MemoryFacts) -> u32 {
    u32::try_from(model.each_layer().count()).unwrap_or(u32::MAX)
}
