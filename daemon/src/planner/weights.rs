//! Where the weights are, and how many bytes they take.
//!
//! On the processor, a mapped file is the memory of the weights, except for matrices that are copied ([`Packing`](super::Packing)).
//! An accelerator has a copy of each layer that it computes. Tables that are read by rows stay in main memory.

use registry::memory::{MemoryFacts, Tensors};

use super::offload::layer_count;
use super::{DeviceId, LoadPlan, Machine, PartKind, Prediction};

pub(super) fn add(
    model: &MemoryFacts,
    plan: &LoadPlan,
    machine: &Machine,
    prediction: &mut Prediction,
) {
    let layers = layer_count(model);
    let mut tensors = Placed {
        mmap: plan.settings.mmap,
        machine,
        prediction,
    };
    tensors.keep(&model.embeddings);
    for (number, layer) in (0..).zip(model.each_layer()) {
        let device = plan.offload.device_of(number, layers);
        tensors.multiply(&layer.attention, &device);
        tensors.multiply(&layer.feed_forward, &device);
        if plan.offload.leaves_experts(number, layers) {
            // They lie in a plain buffer, which no kernel with a layout of its own takes.
            tensors.keep(&layer.experts);
        } else {
            tensors.multiply(&layer.experts, &device);
        }
    }
    let device = plan.offload.device_of(layers, layers);
    tensors.multiply(&model.output, &device);
    tensors.multiply(&model.rest, &device);
    if model.output.bytes() == 0 && !model.pools() {
        tensors.share(&model.embeddings, &device);
    }
}

struct Placed<'a> {
    mmap: bool,
    machine: &'a Machine,
    prediction: &'a mut Prediction,
}

impl Placed<'_> {
    /// Tensors of the file in main memory.
    fn keep(&mut self, tensors: &Tensors) {
        self.on_host(tensors.bytes());
    }

    /// Tensors whose matrices are multiplied on a device.
    fn multiply(&mut self, tensors: &Tensors, device: &DeviceId) {
        if !device.is_host() {
            return self.copy(tensors.bytes(), device);
        }
        let packed = self.machine.packing.of(tensors);
        self.on_host(packed.plain);
        self.copy(packed.copied, device);
    }

    /// The token embeddings as the output: they are there already, except in another layout or on another device.
    fn share(&mut self, embeddings: &Tensors, device: &DeviceId) {
        if !device.is_host() {
            return self.copy(embeddings.bytes(), device);
        }
        let packed = self.machine.packing.of(embeddings);
        self.copy(packed.copied, device);
    }

    fn on_host(&mut self, bytes: u64) {
        let kind = match self.mmap {
            true => PartKind::MappedWeights,
            false => PartKind::Weights,
        };
        self.prediction.add(kind, &DeviceId::host(), bytes);
    }

    fn copy(&mut self, bytes: u64, device: &DeviceId) {
        self.prediction.add(PartKind::Weights, device, bytes);
    }
}
