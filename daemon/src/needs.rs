//! The memory that each model is expected to take, for the scheduler.
//!
//! The headers of its files are read once and kept; a prediction from them is arithmetic, and is kept for the settings that it was
//! made for. What a load took corrects the next prediction for the same settings, also after a restart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use devices::Root;
use registry::{MeasuredMemory, Model, ModelKey, ModelMemory, Registry};
use runner_protocol::{LoadSettings, MemoryPart};

use crate::accelerators::DeviceMemory;
use crate::cpu::CpuModules;
use crate::host;
use crate::memory::{DeviceId, Need, Usage};
use crate::planner::{
    self, Accelerator, Capacity, Correction, Files, Fixed, LoadPlan, Machine, Offload, Packing,
    PartKind, Prediction,
};
use crate::scheduler::Smaller;

/// Most models whose headers are kept.
const MOST: usize = 256;

/// Most predictions of one model that are kept, and most corrections.
const MOST_PREDICTIONS: usize = 16;

/// The settings that the memory of a model depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedSettings {
    /// Those of the load.
    pub load: LoadSettings,
    /// Most parallel sequences.
    pub sequences: u32,
    /// The devices that may get layers; none for the CPU alone.
    pub devices: Vec<DeviceMemory>,
    /// Whether slm's kernels compute.
    pub kernels: bool,
    /// The request, the Modelfile or the configuration names the context.
    pub names_context: bool,
    /// The configuration names the type of the KV cache.
    pub names_kv_type: bool,
    /// The configuration names the number of sequences of this model.
    pub names_sequences: bool,
}

/// What a model is expected to take.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    /// Layers and experts on devices, where not all fit: the settings of the load with them; `None` leaves the settings as they are.
    pub offloaded: Option<LoadSettings>,
    /// Why the layers go where they go, for people; empty for the CPU alone.
    pub reason: String,
    /// With the wanted settings, without a host cache.
    pub need: Need,
    /// Whether its runner can keep states of finished sequences in a host cache.
    pub keeps_states: bool,
    /// With smaller and smaller settings.
    pub smaller: Arc<[Smaller]>,
}

/// The headers and predictions. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Needs(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The CPU module decides which weights are copied; `None` where it is not known.
    cpu: Option<CpuModules>,
    known: Mutex<BTreeMap<ModelKey, Known>>,
}

#[derive(Debug)]
struct Known {
    memory: Arc<ModelMemory>,
    demands: Vec<(NeedSettings, Demand)>,
    /// What loads took, by the class of their settings; `None` where the index knows none.
    corrections: BTreeMap<String, Option<Correction>>,
}

impl Needs {
    /// Predicts for runners that load the chosen one of these CPU modules.
    pub fn new(cpu: CpuModules) -> Self {
        Self(Arc::new(Inner {
            cpu: Some(cpu),
            ..Inner::default()
        }))
    }

    /// What a model takes with these settings, without adapters; the size of its files when their headers cannot be read.
    pub async fn of(&self, registry: &Registry, model: &Model, settings: NeedSettings) -> Demand {
        match self.demand(registry, model, settings).await {
            Ok(demand) => demand,
            Err(error) => {
                let adapters = model.adapters().map(|layer| layer.size);
                let adapters = adapters.fold(0, u64::saturating_add);
                tracing::warn!(model = %model.name, "no prediction: {}; the size of its files counts", crate::error::chain(&error));
                Demand {
                    need: Need {
                        usage: Usage::of_host(model.manifest.size().saturating_sub(adapters)),
                        mapped: 0,
                    },
                    ..Demand::default()
                }
            }
        }
    }

    /// Compares what a load took with the prediction, and keeps both for the next one.
    pub async fn learn(
        &self,
        registry: &Registry,
        key: &ModelKey,
        settings: NeedSettings,
        reported: &[MemoryPart],
    ) {
        let Some(memory) = self.known().get(key).map(|known| known.memory.clone()) else {
            return;
        };
        let machine = self.machine(settings.kernels, &settings.devices);
        let plan = stated(&memory, &settings, &machine);
        let prediction = planner::predict(&files(&memory), &plan, &machine);
        let Some(correction) = Correction::between(&prediction, reported) else {
            return;
        };
        tracing::debug!(
            predicted = correction.predicted,
            measured = correction.measured,
            "memory of a load"
        );
        let class = plan.class();
        if let Some(known) = self.known().get_mut(key) {
            // Predictions with the old correction are made anew.
            known.demands.clear();
            if known.corrections.len() >= MOST_PREDICTIONS {
                known.corrections.clear();
            }
            known.corrections.insert(class.clone(), Some(correction));
        }
        let measured = MeasuredMemory {
            predicted: correction.predicted,
            measured: correction.measured,
        };
        if let Err(error) = registry.remember_memory(key, &class, measured).await {
            tracing::warn!(
                "what a load took cannot be kept: {}",
                crate::error::chain(&error)
            );
        }
    }

    async fn demand(
        &self,
        registry: &Registry,
        model: &Model,
        settings: NeedSettings,
    ) -> registry::Result<Demand> {
        let key = model.key();
        let kept = self.known().get(&key).map(|known| {
            let mut demands = known.demands.iter();
            let demand = demands.find(|(of, _)| *of == settings);
            (
                demand.map(|(_, demand)| demand.clone()),
                known.memory.clone(),
            )
        });
        let memory = match kept {
            Some((Some(demand), _)) => return Ok(demand),
            Some((None, memory)) => memory,
            None => Arc::new(registry.model_memory(model).await?),
        };
        self.remember(&key, &memory);
        let machine = self.machine(settings.kernels, &settings.devices);
        let (plan, reason) = self
            .plan(registry, &key, &memory, &settings, &machine)
            .await?;
        let files = files(&memory);
        let fixed = Fixed {
            context: settings.names_context,
            kv_type: settings.names_kv_type,
            sequences: settings.names_sequences,
            layers: true,
            host_cache: true,
        };
        let smaller = planner::smaller(&files, &plan, fixed, &machine).into_iter();
        let smaller = smaller.map(|(plan, prediction, changes)| Smaller {
            settings: plan.settings,
            sequences: Some(plan.sequences),
            need: need(&prediction),
            host_cache: None,
            drops_adapters: false,
            text: changes.join(", "),
        });
        let demand = Demand {
            offloaded: (plan.settings != settings.load).then_some(plan.settings),
            reason,
            need: need(&planner::predict(&files, &plan, &machine)),
            keeps_states: keeps_states(&memory),
            smaller: smaller.collect(),
        };
        // Until the CPU module is chosen, a prediction is a guess.
        if self.module().is_some()
            && let Some(known) = self.known().get_mut(&key)
        {
            if known.demands.len() >= MOST_PREDICTIONS {
                known.demands.clear();
            }
            known.demands.push((settings, demand.clone()));
        }
        Ok(demand)
    }

    /// How the model is loaded, and why so. When a load with the chosen layers took more than was predicted, layers are chosen again by
    /// the corrected prediction, so that it fits the devices.
    async fn plan(
        &self,
        registry: &Registry,
        key: &ModelKey,
        memory: &ModelMemory,
        settings: &NeedSettings,
        machine: &Machine,
    ) -> registry::Result<(LoadPlan, String)> {
        let mut applied: Option<Correction> = None;
        loop {
            let (mut plan, reason) = plan(memory, settings, machine, applied);
            let known = self.correction(registry, key, &plan.class()).await?;
            let largest = applied.as_ref().map_or(1.0, Correction::ratio);
            let is_larger = known.as_ref().map_or(0.0, Correction::ratio) > largest;
            // Each round needs a larger ratio than all rounds before, so the rounds are no more than the known corrections.
            if is_larger && !plan.offload.layers.is_empty() {
                applied = known;
                continue;
            }
            // A division of layers that was never loaded is expected to exceed its prediction as the loaded ones did.
            plan.correction = known.or(applied);
            return Ok((plan, reason));
        }
    }

    fn remember(&self, key: &ModelKey, memory: &Arc<ModelMemory>) {
        let mut known = self.known();
        if known.len() >= MOST && !known.contains_key(key) {
            known.clear();
        }
        known.entry(key.clone()).or_insert_with(|| Known {
            memory: memory.clone(),
            demands: Vec::new(),
            corrections: BTreeMap::new(),
        });
    }

    /// What a load with such settings took, from memory or from the index.
    async fn correction(
        &self,
        registry: &Registry,
        key: &ModelKey,
        class: &str,
    ) -> registry::Result<Option<Correction>> {
        let kept = |known: &Known| known.corrections.get(class).copied();
        if let Some(correction) = self.known().get(key).and_then(kept) {
            return Ok(correction);
        }
        let measured = registry.memory_of(key, class).await?;
        let correction = measured.map(|memory| Correction {
            predicted: memory.predicted,
            measured: memory.measured,
        });
        if let Some(known) = self.known().get_mut(key) {
            if known.corrections.len() >= MOST_PREDICTIONS {
                known.corrections.clear();
            }
            // A load that ended meanwhile knows better.
            known
                .corrections
                .entry(class.to_owned())
                .or_insert(correction);
        }
        Ok(correction)
    }

    fn module(&self) -> Option<String> {
        self.0.cpu.as_ref().and_then(CpuModules::known)
    }

    /// The machine as the plan of one model sees it: the scheduler makes room, so all that models may take counts as free.
    fn machine(&self, kernels: bool, devices: &[DeviceMemory]) -> Machine {
        let packing = self
            .module()
            .map(|module| Packing::of_module(&module, kernels));
        let accelerators = devices.iter().filter(|device| device.total > 0);
        Machine {
            host: Capacity {
                total: u64::MAX,
                free: u64::MAX,
            },
            accelerators: accelerators
                .map(|device| Accelerator {
                    id: DeviceId::new(&device.name),
                    memory: Capacity {
                        total: device.total,
                        free: device.free,
                    },
                })
                .collect(),
            packing: packing.unwrap_or_default(),
        }
    }

    /// This machine with the memory that is free now, and these devices; `kernels` tells whether slm's kernels compute.
    pub async fn free_machine(&self, kernels: bool, devices: &[DeviceMemory]) -> Machine {
        if let Some(cpu) = &self.0.cpu {
            cpu.choice().await;
        }
        let memory = host::memory(&Root::system());
        let host = memory.map_or_else(Capacity::default, |memory| Capacity {
            total: memory.total,
            free: memory.available,
        });
        Machine {
            host,
            ..self.machine(kernels, devices)
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ModelKey, Known>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the runner of a model can keep states of finished sequences; encoders have none.
pub(crate) fn keeps_states(memory: &ModelMemory) -> bool {
    memory.weights.first().is_some_and(|model| !model.pools())
}

fn files(memory: &ModelMemory) -> Files<'_> {
    Files {
        // A load may take adapters of other models too, so their bytes are added to the prediction.
        adapters: &[],
        ..Files::of(memory)
    }
}

/// How the model is loaded, and why so: the layers that fit go to the devices, its experts leave them first.
fn plan(
    memory: &ModelMemory,
    settings: &NeedSettings,
    machine: &Machine,
    correction: Option<Correction>,
) -> (LoadPlan, String) {
    let wish = LoadPlan {
        settings: settings.load,
        sequences: settings.sequences,
        host_cache: 0,
        offload: Offload::default(),
        correction,
    };
    if machine.accelerators.is_empty() {
        return (wish, String::new());
    }
    let fixed = Fixed {
        context: true,
        kv_type: true,
        sequences: true,
        layers: settings.load.gpu_layers >= 0,
        host_cache: true,
    };
    match planner::fit(&files(memory), &wish, fixed, machine) {
        Ok(placement) => {
            // The scheduler sees to the host.
            let reasons = placement.reasons.into_iter();
            let reasons: Vec<String> = reasons
                .filter(|it| !it.starts_with("main memory"))
                .collect();
            (placement.plan, reasons.join("; "))
        }
        // A stated number of layers does not fit; the load reports it.
        Err(_) => (stated(memory, settings, machine), String::new()),
    }
}

/// The plan of a load whose layers and experts are decided.
fn stated(memory: &ModelMemory, settings: &NeedSettings, machine: &Machine) -> LoadPlan {
    let offload = memory.weights.first().map(|model| Offload {
        experts_on_host: settings.load.host_experts,
        ..Offload::of(settings.load.gpu_layers, model, machine)
    });
    LoadPlan {
        settings: settings.load,
        sequences: settings.sequences,
        host_cache: 0,
        offload: offload.unwrap_or_default(),
        correction: None,
    }
}

/// The bytes of each device, and which of them are mapped.
fn need(prediction: &Prediction) -> Need {
    let mut usage = Usage::default();
    for device in prediction.devices() {
        usage = usage.with(DeviceId::new(device.as_str()), prediction.on(&device));
    }
    Need {
        usage,
        mapped: prediction.of(PartKind::MappedWeights),
    }
}

#[cfg(test)]
mod tests;
