//! The memory that each model is expected to take, for the scheduler.
//!
//! The headers of its files are read once and kept; a prediction from them is arithmetic, and is kept for the settings that it was
//! made for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use registry::{Model, ModelKey, ModelMemory, Registry};
use runner_protocol::LoadSettings;

use crate::cpu::CpuModules;
use crate::memory::{DeviceId, Need, Usage};
use crate::planner::{self, Files, LoadPlan, Machine, Offload, Packing, PartKind, Prediction};

/// Most models whose headers are kept.
const MOST: usize = 256;

/// Most predictions of one model that are kept.
const MOST_PREDICTIONS: usize = 16;

/// The settings that the memory of a model depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeedSettings {
    /// Those of the load.
    pub load: LoadSettings,
    /// Most parallel sequences.
    pub sequences: u32,
    /// Whether slm's kernels compute.
    pub kernels: bool,
    /// Most bytes of the host cache.
    pub host_cache: u64,
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
    predictions: Vec<(NeedSettings, Prediction)>,
}

impl Needs {
    /// Predicts for runners that load the chosen one of these CPU modules.
    pub fn new(cpu: CpuModules) -> Self {
        Self(Arc::new(Inner {
            cpu: Some(cpu),
            ..Inner::default()
        }))
    }

    /// What a model takes with these settings; nothing when its files cannot be read, because its load then fails with the reason.
    pub async fn of(&self, registry: &Registry, model: &Model, settings: NeedSettings) -> Need {
        match self.prediction(registry, model, settings).await {
            Ok(prediction) => need(&prediction),
            Err(error) => {
                tracing::debug!(model = %model.name, "no prediction: {}", crate::error::chain(&error));
                Need::default()
            }
        }
    }

    async fn prediction(
        &self,
        registry: &Registry,
        model: &Model,
        settings: NeedSettings,
    ) -> registry::Result<Prediction> {
        let key = model.key();
        let memory = match self.look(&key, &settings) {
            Some(Ok(prediction)) => return Ok(prediction),
            Some(Err(memory)) => memory,
            None => Arc::new(registry.model_memory(model).await?),
        };
        let module = self.0.cpu.as_ref().and_then(CpuModules::known);
        let machine = Machine {
            packing: match &module {
                Some(module) => Packing::of_module(module, settings.kernels),
                None => Packing::default(),
            },
            threads: threads(),
            ..Machine::default()
        };
        let prediction = predict(&memory, settings, &machine);
        // Until the CPU module is chosen, a prediction is a guess.
        if module.is_some() || self.0.cpu.is_none() {
            self.keep(key, memory, settings, prediction.clone());
        }
        Ok(prediction)
    }

    /// The kept prediction, or else the kept headers.
    fn look(
        &self,
        key: &ModelKey,
        settings: &NeedSettings,
    ) -> Option<Result<Prediction, Arc<ModelMemory>>> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(key)?;
        let mut kept = known.predictions.iter();
        Some(match kept.find(|(of, _)| of == settings) {
            Some((_, prediction)) => Ok(prediction.clone()),
            None => Err(known.memory.clone()),
        })
    }

    fn keep(
        &self,
        key: ModelKey,
        memory: Arc<ModelMemory>,
        settings: NeedSettings,
        prediction: Prediction,
    ) {
        let mut all = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&key) {
            all.clear();
        }
        let known = all.entry(key).or_insert_with(|| Known {
            memory,
            predictions: Vec::new(),
        });
        if known.predictions.len() >= MOST_PREDICTIONS {
            known.predictions.clear();
        }
        known.predictions.push((settings, prediction));
    }
}

fn predict(memory: &ModelMemory, settings: NeedSettings, machine: &Machine) -> Prediction {
    let files = Files {
        weights: &memory.weights,
        projector: memory.projector.as_ref(),
        draft: memory.draft.as_ref(),
        adapters: &memory.adapters,
    };
    let plan = LoadPlan {
        settings: settings.load,
        sequences: settings.sequences,
        host_cache: settings.host_cache,
        offload: Offload::default(),
    };
    planner::predict(&files, &plan, machine)
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

/// Threads that compute where the settings leave it open.
fn threads() -> u32 {
    let threads = std::thread::available_parallelism();
    threads.map_or(1, |threads| {
        u32::try_from(threads.get()).unwrap_or(u32::MAX)
    })
}
