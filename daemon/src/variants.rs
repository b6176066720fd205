//! Which variant of a model is pulled where the user names none: the best that fits this machine.
//!
//! The header of one variant is read, from the store or far away; the others differ from it in the size of their weights, and so do their
//! memory and their speed. Where no header can be read, the size of the weights decides alone. A model that is in the store keeps its
//! variant when it is pulled again.

mod choice;

use std::sync::Arc;
use std::time::Duration;

use api::{EventFacts, EventKind};
use registry::catalog::VariantName;
use registry::{ModelMemory, ModelName, Reference, Registry, Reporter, Stage, Variant, Variants};
use tokio::time::timeout;

use crate::accelerators::{Accelerators, DeviceMemory};
use crate::apply;
use crate::config::{Kernels, LiveConfig};
use crate::devices::Devices;
use crate::error::{Error, chain};
use crate::events::Events;
use crate::needs::Needs;
use crate::planner::{Files, LoadPlan, Machine, PartKind, predict, tokens_per_second};
use crate::sources::Sources;

use self::choice::{Bounds, Choice, Estimate, Verdict, choose};

/// Longest look at the variants for a pull, which takes the usual one afterwards.
const PATIENCE: Duration = Duration::from_secs(60);

/// Chooses variants. Cheap to clone.
#[derive(Debug, Clone)]
pub struct VariantChooser(Arc<VariantParts>);

/// What a choice depends on.
#[derive(Debug)]
pub struct VariantParts {
    /// The store, and the way to the places of models.
    pub registry: Registry,
    /// Settings of these places.
    pub sources: Sources,
    /// Predictions of memory.
    pub needs: Needs,
    /// The devices that may get layers.
    pub accelerators: Accelerators,
    /// The bandwidth of the machine.
    pub devices: Devices,
    /// The budget, and the floor of tokens per second.
    pub config: LiveConfig,
    /// Where choices are told.
    pub events: Events,
}

/// The variants of a model, and which of them is taken here.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) found: Variants,
    /// One for each variant.
    pub(crate) estimates: Vec<Estimate>,
    pub(crate) bounds: Bounds,
    /// The variant that a pull takes; `None` where there is nothing to choose.
    pub(crate) choice: Option<Choice>,
}

impl Survey {
    /// Whether a variant keeps to the bounds; `None` where too little is known.
    pub(crate) fn fits(&self, index: usize) -> Option<bool> {
        self.estimates[index].memory.and(self.bounds.memory)?;
        let verdict = Verdict::of(&self.estimates[index], &self.bounds);
        Some(!matches!(verdict, Verdict::TooLarge { .. }))
    }
}

impl VariantChooser {
    /// A chooser of these parts.
    pub fn new(parts: VariantParts) -> Self {
        Self(Arc::new(parts))
    }

    /// The reference with the variant that this machine takes; unchanged where it names one, or where there is one only. A place that
    /// does not answer is left to the pull, which reports it.
    pub(crate) async fn decide(
        &self,
        reference: Reference,
        insecure: bool,
        reporter: &Reporter,
    ) -> Reference {
        let (reference, text) = self.decided(reference, insecure).await;
        if let Some(text) = text {
            reporter.stage(Stage::Chosen(text.clone()));
            let facts = EventFacts::default();
            let kind = EventKind::Variant;
            self.0.events.record(&reference.name, kind, text, facts);
        }
        reference
    }

    /// The same without a report, with the choice in words.
    pub(crate) async fn decided(
        &self,
        reference: Reference,
        insecure: bool,
    ) -> (Reference, Option<String>) {
        if !reference.is_open() {
            return (reference, None);
        }
        let survey = match timeout(PATIENCE, self.survey(&reference, insecure)).await {
            Ok(Ok(survey)) => survey,
            Ok(Err(error)) => {
                tracing::info!(model = %reference.name, "variants: {}", chain(&error));
                return (reference, None);
            }
            Err(_) => {
                tracing::warn!(model = %reference.name, "the variants are not known after {} s", PATIENCE.as_secs());
                return (reference, None);
            }
        };
        let Some(Choice { index, reason }) = &survey.choice else {
            return (reference, None);
        };
        let chosen = &survey.found.all[*index];
        let name = &chosen.name;
        if chosen.is_usual {
            // Each place delivers it, also the places of a catalog that this one is not.
            return (reference, Some(format!("variant {name}: {reason}")));
        }
        match VariantName::parse(name) {
            Ok(variant) => {
                let text = format!("variant {name}: {reason}");
                (reference.with_variant(variant), Some(text))
            }
            Err(error) => {
                tracing::warn!(model = %reference.name, "variant: {error}");
                (reference, None)
            }
        }
    }

    /// The variants of a model with what each would take here.
    ///
    /// # Errors
    /// When no place tells them.
    pub(crate) async fn survey(
        &self,
        reference: &Reference,
        insecure: bool,
    ) -> Result<Survey, Error> {
        let sources = self.0.sources.now();
        let registry = &self.0.registry;
        let mut found = registry.variants(reference, insecure, &sources).await?;
        let stored = self.stored(&found.name).await;
        let (machine, bounds) = self.machine(&found.name).await;
        let kept = stored.as_ref().and_then(|model| held(&found.all, model));
        if let Some(index) = kept {
            found.all[index].here = true;
        }
        let estimates = match found.all.len() {
            0 | 1 => vec![Estimate::default(); found.all.len()],
            _ => {
                let headers = self.headers(reference, insecure, &found.all, stored.as_ref());
                let measured = headers
                    .await
                    .and_then(|memory| self.measured(&memory, &machine));
                let all = found.all.iter();
                all.map(|variant| estimate(variant, measured.as_ref()))
                    .collect()
            }
        };
        let choice = match (kept, found.all.len()) {
            (_, 0 | 1) => None,
            (Some(index), _) => Some(Choice {
                index,
                reason: "the store has the model in this variant".to_owned(),
            }),
            (None, _) => choose(&found.all, &estimates, &bounds),
        };
        Ok(Survey {
            found,
            estimates,
            bounds,
            choice,
        })
    }

    /// The model of this name in the store.
    async fn stored(&self, name: &ModelName) -> Option<registry::Model> {
        self.0.registry.model(name).await.ok()
    }

    /// This machine with all the memory that models may take and the devices that would get layers of this one, and what it bounds.
    async fn machine(&self, name: &ModelName) -> (Machine, Bounds) {
        let config = self.0.config.current();
        let kernels = config.kernels != Kernels::Off;
        let devices = self.0.accelerators.for_model(&config, Some(name)).await;
        // A load reports a device that cannot be used.
        let devices = devices.unwrap_or_default().into_iter();
        let devices: Vec<DeviceMemory> = devices
            .map(|device| device.within(&config.device_budget))
            .collect();
        let mut machine = self.0.needs.free_machine(kernels, &devices).await;
        let budget = apply::scheduler_options(&config).budget;
        machine.host.free = budget.host(machine.host.total);
        let sum = |devices: &mut dyn Iterator<Item = &DeviceMemory>| {
            devices.fold(0, |sum: u64, device| sum.saturating_add(device.free))
        };
        // An integrated device has no memory beside the host's.
        let own = sum(&mut devices.iter().filter(|device| !device.is_integrated));
        let all = machine.host.free.saturating_add(own);
        let bounds = Bounds {
            memory: (machine.host.total > 0).then_some(all),
            accelerators: (!devices.is_empty()).then(|| sum(&mut devices.iter())),
            speed: f64::from(config.min_tokens_per_second),
        };
        (machine, bounds)
    }

    /// The headers of one variant: of the stored one, else of the usual one.
    async fn headers(
        &self,
        reference: &Reference,
        insecure: bool,
        variants: &[Variant],
        stored: Option<&registry::Model>,
    ) -> Option<ModelMemory> {
        let registry = &self.0.registry;
        if let Some(model) = stored {
            return registry.model_memory(model).await.ok();
        }
        let usual = variants.iter().find(|variant| variant.is_usual)?;
        let name = VariantName::parse(&usual.name).ok()?;
        let reference = reference.clone().with_variant(name);
        let sources = self.0.sources.now();
        let headers = registry.remote_headers(&reference, insecure, &sources);
        match headers.await {
            Ok(headers) => Some(headers.memory),
            Err(error) => {
                tracing::info!(model = %reference.name, "no header: {}", chain(&error));
                None
            }
        }
    }

    /// What the variant with these headers takes and does; `None` for headers without weights.
    fn measured(&self, memory: &ModelMemory, machine: &Machine) -> Option<Measured> {
        let size = Some(weights(memory)).filter(|size| *size > 0)?;
        let config = self.0.config.current();
        let plan = LoadPlan::of_config(&config, memory, machine);
        let files = Files::of(memory);
        let prediction = predict(&files, &plan, machine);
        let of_weights = prediction
            .of(PartKind::MappedWeights)
            .saturating_add(prediction.of(PartKind::Weights));
        let bandwidth = self.0.devices.bandwidth(config.threads);
        Some(Measured {
            size,
            of_weights,
            rest: prediction.total().saturating_sub(of_weights),
            speed: tokens_per_second(&files, &plan, machine, &bandwidth),
        })
    }
}

/// What one variant takes and does.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Bytes of its files.
    size: u64,
    /// Bytes of its weights in memory.
    of_weights: u64,
    /// The other bytes in memory.
    rest: u64,
    /// Tokens per second.
    speed: Option<f64>,
}

/// What a variant takes and does, by what another one does.
fn estimate(variant: &Variant, measured: Option<&Measured>) -> Estimate {
    let Some(size) = variant.size else {
        return Estimate::default();
    };
    let Some(measured) = measured else {
        return Estimate {
            memory: Some(size),
            speed: None,
        };
    };
    let ratio = size as f64 / measured.size as f64;
    let weights = (measured.of_weights as f64 * ratio) as u64;
    Estimate {
        memory: Some(measured.rest.saturating_add(weights)),
        speed: measured.speed.map(|speed| speed / ratio),
    }
}

/// Bytes of the files of weights.
fn weights(memory: &ModelMemory) -> u64 {
    let files = memory.weights.iter().chain(&memory.projector);
    files.fold(0, |sum, file| sum.saturating_add(file.file_bytes))
}

/// The variant that a stored model is, by its weights, else by their quantization.
fn held(variants: &[Variant], model: &registry::Model) -> Option<usize> {
    let layers = || model.manifest.layers.iter();
    let by_digest = variants.iter().position(|variant| {
        variant
            .digest
            .is_some_and(|digest| layers().any(|layer| layer.digest == digest))
    });
    by_digest.or_else(|| {
        let quantization = &model.details.quantization_level;
        let size = model
            .weights()
            .fold(0_u64, |sum, it| sum.saturating_add(it.size));
        // A later upload differs by its metadata; another quantization with the same name in its header by more.
        let is_near = |other: u64| other.abs_diff(size) <= size / 100;
        let is_same = |variant: &&(usize, &Variant)| {
            !quantization.is_empty()
                && variant.1.quantization.eq_ignore_ascii_case(quantization)
                && variant.1.size.is_none_or(is_near)
        };
        let all: Vec<(usize, &Variant)> = variants.iter().enumerate().collect();
        let mut same = all.iter().filter(is_same);
        match (same.next(), same.next()) {
            (Some((index, _)), None) => Some(*index),
            _ => None,
        }
    })
}
