//! How many tokens per second a model will generate, before it is loaded.
//!
//! To generate a token for one request, a device reads the weights that the token uses, and the keys and values of the tokens before it.
//! Reading takes most of the time, so the prediction is
//!
//! ```text
//! tokens/s = 1 / sum over devices (bytes that a token reads on the device / bytes per second that the device reads)
//! ```
//!
//! What a token reads, each on the device where it is:
//!
//! - the weights of all model layers, in the layout that the processor packs them in; of experts only the part that a token uses;
//! - the output matrix, or the token embeddings in its role. Of the tables that are read by rows, a token reads one row, which does not
//!   count;
//! - the cells of half the context, or of the attention window where that is shorter, and the recurrent state of one sequence.
//!
//! It is an upper bound from bandwidth alone: products that take longer than reading their weights, small models whose time goes into
//! starting operations, and transfers between devices make answers slower. A draft model can make them faster, and requests that run at
//! once read the weights together; neither is part of the prediction, nor is the time until the first token.

use std::collections::BTreeMap;

use registry::memory::{LayerFacts, MemoryFacts, Tensors};

use super::offload::layer_count;
use super::{DeviceId, Files, LoadPlan, Machine, joined};

/// Bytes of a number of a recurrent state.
const F32: u64 = 4;

/// Bytes per second that devices read from their memory, as far as they are measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bandwidth(BTreeMap<DeviceId, f64>);

impl Bandwidth {
    /// The same with the bandwidth of a device. What is not positive counts as not measured.
    #[must_use]
    pub fn with(mut self, device: DeviceId, bytes_per_second: f64) -> Self {
        if bytes_per_second.is_finite() && bytes_per_second > 0.0 {
            self.0.insert(device, bytes_per_second);
        }
        self
    }

    /// The bandwidth of a device; `None` if it is not measured.
    #[must_use]
    pub fn on(&self, device: &DeviceId) -> Option<f64> {
        self.0.get(device).copied()
    }
}

/// Predicts the tokens per second of one request, by the formula of the module (`daemon/src/planner/speed.rs`).
///
/// `None` where it says nothing: for a model that generates no text, when a token reads something on a device whose bandwidth is not
/// measured, and when the header does not state how many experts there are.
#[must_use]
pub fn tokens_per_second(
    files: &Files<'_>,
    plan: &LoadPlan,
    machine: &Machine,
    bandwidth: &Bandwidth,
) -> Option<f64> {
    let model = joined(files.weights);
    if model.pools() {
        return None;
    }
    let mut seconds = 0.0;
    for (device, bytes) in reads(&model, plan, machine)?.0 {
        seconds += bytes as f64 / bandwidth.on(&device)?;
    }
    (seconds > 0.0).then(|| 1.0 / seconds)
}

/// The bytes that a token reads on each device.
#[derive(Debug, Default)]
struct Reads(BTreeMap<DeviceId, u64>);

impl Reads {
    fn add(&mut self, device: &DeviceId, bytes: u64) {
        if bytes > 0 {
            let sum = self.0.entry(device.clone()).or_default();
            *sum = sum.saturating_add(bytes);
        }
    }
}

/// What a token reads; `None` where the number of experts is not known.
fn reads(model: &MemoryFacts, plan: &LoadPlan, machine: &Machine) -> Option<Reads> {
    let (layers, host) = (layer_count(model), DeviceId::host());
    let packed = |tensors: &Tensors, device: &DeviceId| match device.is_host() {
        true => machine.packing.of(tensors).bytes(),
        false => tensors.bytes(),
    };
    let mut reads = Reads::default();
    for (number, layer) in (0..).zip(model.each_layer()) {
        let device = plan.offload.device_of(number, layers);
        reads.add(&device, packed(&layer.attention, &device));
        reads.add(&device, packed(&layer.feed_forward, &device));
        reads.add(&device, cache(layer, model, plan));
        let (experts, place) = match plan.offload.leaves_experts(number, layers) {
            true => (layer.experts.bytes(), &host),
            false => (packed(&layer.experts, &device), &device),
        };
        if experts > 0 {
            reads.add(place, used(experts, model)?);
        }
    }
    let device = plan.offload.device_of(layers, layers);
    let output = match model.output.bytes() {
        0 => model.token_embeddings,
        _ => packed(&model.output, &device),
    };
    reads.add(&device, output);
    reads.add(&device, packed(&model.rest, &device));
    Some(reads)
}

/// The part of the bytes of all experts that a token uses.
fn used(experts: u64, model: &MemoryFacts) -> Option<u64> {
    let used = u128::from(model.experts_used.min(model.experts));
    let bytes = (u128::from(experts) * used).checked_div(model.experts.into())?;
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}

/// What attention reads in one layer at half the context.
fn cache(layer: &LayerFacts, model: &MemoryFacts, plan: &LoadPlan) -> u64 {
    let half = u64::from(plan.settings.context) / 2;
    let cells = match layer.windowed {
        true => half.min(model.window),
        false => half,
    };
    let row = |values| plan.settings.kv_type.row_bytes(values).unwrap_or(0);
    let row = row(layer.key_width).saturating_add(row(layer.value_width));
    cells
        .saturating_mul(row)
        .saturating_add(layer.state.saturating_mul(F32))
}

#[cfg(test)]
mod tests {
    use registry::memory::{LayerRun, TensorBytes};
    use runner_protocol::{KvType, LoadSettings};

    use super::super::{LayerShare, Offload};
    use super::*;

    const MB: u64 = 1_000_000;

    fn tensors(bytes: u64) -> Tensors {
        Tensors(vec![TensorBytes {
            kind: "F16".to_owned(),
            bytes,
            ..TensorBytes::default()
        }])
    }

    /// Four layers of 20 MB and experts of 80 MB, a quarter of which a token uses, and an output of 60 MB.
    fn model() -> MemoryFacts {
        let layer = LayerFacts {
            attention: tensors(5 * MB),
            feed_forward: tensors(15 * MB),
            experts: tensors(80 * MB),
            ..LayerFacts::default()
        };
        MemoryFacts {
            architecture: Some("llama".to_owned()),
            layers: vec![LayerRun { count: 4, layer }],
            embeddings: tensors(70 * MB),
            token_embeddings: 60 * MB,
            output: tensors(60 * MB),
            experts: 8,
            experts_used: 2,
            window: 100,
            ..MemoryFacts::default()
        }
    }

    fn plan(offload: Offload) -> LoadPlan {
        LoadPlan {
            settings: LoadSettings {
                context: 2000,
                batch: 512,
                threads: 0,
                gpu_layers: 0,
                host_experts: 0,
                main_gpu: 0,
                mmap: true,
                kv_type: KvType::F16,
            },
            sequences: 4,
            host_cache: 0,
            offload,
            correction: None,
        }
    }

    fn bandwidth() -> Bandwidth {
        Bandwidth::default().with(DeviceId::host(), 1e9)
    }

    fn predicted(model: &MemoryFacts, plan: &LoadPlan, bandwidth: &Bandwidth) -> Option<f64> {
        let files = Files {
            weights: std::slice::from_ref(model),
            ..Files::default()
        };
        tokens_per_second(&files, plan, &Machine::default(), bandwidth)
    }

    /// Bytes of a token on the host, from its tokens per second at 1 GB/s.
    fn bytes(model: &MemoryFacts) -> u64 {
        let speed = predicted(model, &plan(Offload::default()), &bandwidth());
        (1e9 / speed.expect("the host is measured")).round() as u64
    }

    #[test]
    fn a_token_reads_layers_used_experts_and_the_output_but_no_table() {
        assert_eq!(bytes(&model()), (4 * (20 + 20) + 60) * MB);
        // The token embeddings are the output; other tables are not.
        let tied = MemoryFacts {
            output: Tensors::default(),
            token_embeddings: 50 * MB,
            ..model()
        };
        assert_eq!(bytes(&tied), (4 * 40 + 50) * MB);
    }

    #[test]
    fn a_token_reads_the_cells_of_half_the_context_or_of_the_window() {
        let mut model = model();
        let layer = &mut model.layers[0].layer;
        (layer.key_width, layer.value_width) = (500, 500);
        assert_eq!(bytes(&model), 220 * MB + 4 * 1000 * 1000 * 2);
        model.layers[0].layer.windowed = true;
        assert_eq!(bytes(&model), 220 * MB + 4 * 100 * 1000 * 2);
        let layer = &mut model.layers[0].layer;
        (layer.key_width, layer.value_width, layer.state) = (0, 0, MB);
        assert_eq!(bytes(&model), 220 * MB + 4 * 4 * MB);
    }

    #[test]
    fn each_device_reads_its_own_part() {
        let gpu = DeviceId::new("CUDA0");
        let offload = |experts_on_host| Offload {
            layers: vec![LayerShare {
                device: gpu.clone(),
                count: 5,
            }],
            experts_on_host,
        };
        let both = bandwidth().with(gpu.clone(), 10e9);
        let close = |found: Option<f64>, seconds: f64| {
            let found = found.expect("both are measured");
            assert!(
                (found * seconds - 1.0).abs() < 1e-9,
                "{found} and {seconds}"
            );
        };
        close(predicted(&model(), &plan(offload(0)), &both), 0.022);
        // 40 MB of experts on the host, ten times as slow.
        close(predicted(&model(), &plan(offload(2)), &both), 0.018 + 0.04);
        assert_eq!(predicted(&model(), &plan(offload(0)), &bandwidth()), None);
    }

    #[test]
    fn nothing_is_said_without_a_measurement_or_facts() {
        let on_host = plan(Offload::default());
        let unmeasured = [f64::NAN, f64::INFINITY, 0.0, -1.0]
            .map(|wrong| Bandwidth::default().with(DeviceId::host(), wrong));
        for bandwidth in unmeasured {
            assert_eq!(predicted(&model(), &on_host, &bandwidth), None);
        }
        let encoder = MemoryFacts {
            pooling: 1,
            ..model()
        };
        let untold = MemoryFacts {
            experts: 0,
            ..model()
        };
        let hostile = MemoryFacts {
            experts: u64::MAX,
            ..model()
        };
        for model in [encoder, untold, hostile, MemoryFacts::default()] {
            assert_eq!(predicted(&model, &on_host, &bandwidth()), None);
        }
    }
}
