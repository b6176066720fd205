//! How many bytes a model will take, and how fast it will answer, before it is loaded.
//!
//! A prediction comes from the headers of the model's files ([`MemoryFacts`]), the settings of the load and the machine, by the formulas of
//! llama.cpp that each file here names. Nothing here reads a file or waits, so the scheduler can ask as often as it likes.
//! Every sum saturates: a hostile header or an absurd context makes a large number, which does not fit, and no panic.
//! `docs/memory.md` says what counts as the memory of a loaded model.

mod cache;
mod compute;
mod correction;
mod fit;
mod graph;
mod machine;
mod offload;
mod packing;
mod prediction;
mod process;
mod shape;
mod speed;
#[cfg(test)]
mod tests;
mod weights;

use registry::ModelMemory;
use registry::memory::MemoryFacts;
use runner_protocol::{LoadSettings, MAX_CONTEXT, MIN_CONTEXT};

use crate::config::Config;
use crate::memory::DeviceId;

pub use self::correction::Correction;
pub use self::fit::{Fixed, Impossible, Placement, fit, smaller};
pub use self::machine::{Accelerator, Capacity, Machine};
pub use self::offload::{LayerShare, Offload};
pub use self::packing::{Packing, Repack};
pub use self::prediction::{Part, PartKind, Prediction};
pub use self::speed::{Bandwidth, tokens_per_second};

use self::shape::Shape;

/// The facts of the files of a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files<'a> {
    /// The weights, or the first shard and then the others.
    pub weights: &'a [MemoryFacts],
    /// The encoder of images.
    pub projector: Option<&'a MemoryFacts>,
    /// The draft model.
    pub draft: Option<&'a MemoryFacts>,
    /// The LoRA adapters.
    pub adapters: &'a [MemoryFacts],
}

impl<'a> Files<'a> {
    /// The files of a model.
    pub fn of(memory: &'a ModelMemory) -> Self {
        Self {
            weights: &memory.weights,
            projector: memory.projector.as_ref(),
            draft: memory.draft.as_ref(),
            adapters: &memory.adapters,
        }
    }
}

/// How the model is loaded.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// The settings that the runner gets.
    pub settings: LoadSettings,
    /// Sequences that run at once.
    pub sequences: u32,
    /// The most bytes of states in the host cache; 0 where it does not count.
    pub host_cache: u64,
    /// What is computed by accelerators.
    pub offload: Offload,
    /// What an earlier load took, by which predictions are corrected.
    pub correction: Option<Correction>,
}

impl LoadPlan {
    /// The load of a model for which nothing but the configuration decides, with at most the context that it was trained with and without
    /// the host cache that `state_memory: auto` takes from what is left.
    pub fn of_config(config: &Config, memory: &ModelMemory, machine: &Machine) -> Self {
        let model = memory.weights.first().cloned().unwrap_or_default();
        let longest = match u32::try_from(model.context_length) {
            Ok(0) | Err(_) => MAX_CONTEXT,
            Ok(trained) => trained.clamp(MIN_CONTEXT, MAX_CONTEXT),
        };
        let settings = LoadSettings {
            context: config.context_length.min(longest),
            batch: 512,
            threads: config.threads,
            gpu_layers: config.gpu_layers,
            host_experts: 0,
            main_gpu: 0,
            mmap: true,
            kv_type: config.kv_cache_type,
        };
        Self {
            settings,
            sequences: config.parallel,
            host_cache: config.state_memory.unwrap_or(0),
            offload: Offload::of(settings.gpu_layers, &model, machine),
            correction: None,
        }
    }
}

/// Predicts the bytes of a loaded model, with the correction of the plan.
#[must_use]
pub fn predict(files: &Files<'_>, plan: &LoadPlan, machine: &Machine) -> Prediction {
    let prediction = uncorrected(files, plan, machine);
    match &plan.correction {
        Some(correction) => correction.apply(&prediction),
        None => prediction,
    }
}

fn uncorrected(files: &Files<'_>, plan: &LoadPlan, machine: &Machine) -> Prediction {
    let model = joined(files.weights);
    let shape = Shape::of(&model, &plan.settings, plan.sequences);
    let mut prediction = Prediction::default();
    weights::add(&model, plan, machine, &mut prediction);
    cache::add(&model, &shape, &plan.offload, &mut prediction);
    add_compute(&model, &shape, &plan.offload, &mut prediction);
    process::add(&model, &shape, &mut prediction);
    let host = DeviceId::host();
    if let Some(draft) = files.draft {
        add_draft(draft, plan, machine, &mut prediction);
    }
    if let Some(projector) = files.projector {
        // The encoder is read into memory, and computes in buffers that its images decide.
        let bytes = projector
            .file_bytes
            .saturating_add(process::image_buffers(projector));
        prediction.add(PartKind::Projector, &host, bytes);
    }
    for adapter in files.adapters {
        prediction.add(PartKind::Adapters, &host, adapter.tensor_bytes());
    }
    prediction.add(PartKind::HostCache, &host, plan.host_cache);
    prediction
}

/// One compute buffer for each device that has layers.
fn add_compute(model: &MemoryFacts, shape: &Shape, offload: &Offload, prediction: &mut Prediction) {
    let buffer = compute::buffer(model, shape);
    prediction.add(PartKind::Compute, &DeviceId::host(), buffer);
    for share in &offload.layers {
        prediction.add(PartKind::Compute, &share.device, buffer);
    }
}

/// A draft model has the settings of its model, and a cache of its own.
fn add_draft(draft: &MemoryFacts, plan: &LoadPlan, machine: &Machine, prediction: &mut Prediction) {
    let files = Files {
        weights: std::slice::from_ref(draft),
        ..Files::default()
    };
    let offload = Offload::of(plan.settings.gpu_layers, draft, machine);
    let own = LoadPlan {
        host_cache: 0,
        offload,
        correction: None,
        ..plan.clone()
    };
    for part in predict(&files, &own, machine).parts() {
        if part.kind != PartKind::Process {
            prediction.add(PartKind::Draft, &part.device, part.bytes);
        }
    }
}

/// The facts of a split model as those of one file.
fn joined(shards: &[MemoryFacts]) -> MemoryFacts {
    let Some((first, others)) = shards.split_first() else {
        return MemoryFacts::default();
    };
    let mut model = first.clone();
    others.iter().for_each(|shard| model.join(shard));
    model
}
