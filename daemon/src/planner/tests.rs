//! Predictions for models that the writer of tests makes.

use proptest::prelude::*;
use registry::memory::{LayerFacts, LayerRun, MemoryFacts, TensorBytes, Tensors};
use runner_protocol::{KvType, LoadSettings};

use super::*;

const MIB: u64 = 1 << 20;

fn tensors(kind: &str, bytes: u64) -> Tensors {
    Tensors(vec![TensorBytes {
        kind: kind.into(),
        bytes,
        matrices_by_8: bytes,
        matrices_by_32: bytes,
        experts_by_8: 0,
    }])
}

/// Eight layers of 768 with 4 KV heads of 64.
fn model(kind: &str) -> MemoryFacts {
    let layer = LayerFacts {
        attention: tensors(kind, MIB),
        feed_forward: tensors(kind, 4 * MIB),
        query_width: 768,
        key_width: 256,
        value_width: 256,
        feed_forward_length: 2048,
        ..LayerFacts::default()
    };
    MemoryFacts {
        file_bytes: 48 * MIB,
        architecture: Some("llama".into()),
        layers: vec![LayerRun { count: 8, layer }],
        embeddings: tensors(kind, 3 * MIB),
        output: tensors(kind, 3 * MIB),
        embedding_length: 768,
        vocabulary: 4000,
        context_length: 32_768,
        head_length: 64,
        ..MemoryFacts::default()
    }
}

fn plan(context: u32) -> LoadPlan {
    LoadPlan {
        settings: LoadSettings {
            context,
            batch: 512,
            threads: 2,
            gpu_layers: 0,
            host_experts: 0,
            main_gpu: 0,
            mmap: true,
            kv_type: KvType::F16,
        },
        sequences: 4,
        host_cache: 0,
        offload: Offload::default(),
    }
}

fn of(model: &MemoryFacts, plan: &LoadPlan, machine: &Machine) -> Prediction {
    let files = Files {
        weights: std::slice::from_ref(model),
        ..Files::default()
    };
    predict(&files, plan, machine)
}

/// A machine with two accelerators of equal memory.
fn with_accelerators() -> Machine {
    let accelerator = |name: &str| Accelerator {
        id: DeviceId::new(name),
        memory: Capacity {
            total: 8 << 30,
            free: 8 << 30,
        },
    };
    Machine {
        accelerators: vec![accelerator("CUDA0"), accelerator("CUDA1")],
        ..Machine::default()
    }
}

#[test]
fn cells_are_padded_and_counted_for_each_layer() {
    let cache =
        |context| of(&model("F16"), &plan(context), &Machine::default()).of(PartKind::KvCache);
    assert_eq!(cache(4096), 8 * 4096 * (256 + 256) * 2);
    assert_eq!(cache(4000), cache(4096));
    assert_eq!(cache(4097), 8 * 4352 * (256 + 256) * 2);
}

#[test]
fn a_smaller_type_makes_a_smaller_cache() {
    let mut small = plan(4096);
    small.settings.kv_type = KvType::Q8_0;
    let cache = of(&model("F16"), &small, &Machine::default()).of(PartKind::KvCache);
    assert_eq!(cache, 8 * 4096 * (256 + 256) / 32 * 34);
}

/// The numbers are what llama.cpp reports for this shape.
#[test]
fn the_compute_buffer_is_that_of_llama_cpp() {
    let compute = of(&model("F16"), &plan(4096), &Machine::default()).of(PartKind::Compute);
    let logits = 20 * 4000 * 4;
    assert!((compute - logits).abs_diff(25_045_376) < 1024, "{compute}");
}

#[test]
fn windows_have_cells_for_each_sequence_and_a_micro_batch() {
    let mut model = model("F16");
    model.window = 128;
    model.layers[0].layer.windowed = true;
    let cache = of(&model, &plan(16_384), &Machine::default()).of(PartKind::KvCache);
    let cells = (128 * 20 + 512_u64).next_multiple_of(256);
    assert_eq!(cache, 8 * cells * (256 + 256) * 2);
    let short = of(&model, &plan(1024), &Machine::default()).of(PartKind::KvCache);
    assert_eq!(short, 8 * 1024 * (256 + 256) * 2);
}

#[test]
fn recurrent_states_are_counted_for_each_sequence() {
    let mut model = model("F16");
    let layer = &mut model.layers[0].layer;
    (layer.key_width, layer.value_width, layer.state) = (0, 0, 1000);
    let cache = |sequences| {
        let plan = LoadPlan {
            sequences,
            ..plan(4096)
        };
        of(&model, &plan, &Machine::default()).of(PartKind::KvCache)
    };
    assert_eq!(cache(1), 8 * 4000);
    assert_eq!(cache(16), 16 * 8 * 4000);
}

#[test]
fn the_processor_copies_what_its_kernels_take() {
    let weights = |kind: &str, module: &str, own: bool| {
        let machine = Machine {
            packing: Packing::of_module(module, own),
            ..Machine::default()
        };
        let found = of(&model(kind), &plan(512), &machine);
        (
            found.of(PartKind::MappedWeights) / MIB,
            found.of(PartKind::Weights) / MIB,
        )
    };
    assert_eq!(weights("Q4_0", "haswell", true), (3, 43));
    assert_eq!(weights("Q4_0", "x64", true), (46, 0));
    assert_eq!(weights("Q4_K", "haswell", true), (46, 0));
    assert_eq!(weights("Q4_K", "haswell", false), (3, 43));
    assert_eq!(weights("Q8_0", "zen4", true), (46, 0));
    assert_eq!(
        weights("Q8_0", "sapphirerapids", true),
        (3, 48),
        "with sums for each block"
    );
    assert_eq!(weights("F16", "sapphirerapids", true), (3, 43));
}

#[test]
fn weights_that_are_read_are_no_map() {
    let mut read = plan(512);
    read.settings.mmap = false;
    let found = of(&model("F16"), &read, &Machine::default());
    assert_eq!(found.of(PartKind::MappedWeights), 0);
    assert_eq!(found.of(PartKind::Weights), 46 * MIB);
}

#[test]
fn shared_embeddings_are_copied_only_where_their_layout_changes() {
    let mut model = model("Q4_0");
    model.output = Tensors::default();
    let machine = |module| Machine {
        packing: Packing::of_module(module, true),
        ..Machine::default()
    };
    let found = of(&model, &plan(512), &machine("haswell"));
    assert_eq!(found.of(PartKind::Weights), 43 * MIB);
    let found = of(&model, &plan(512), &machine("x64"));
    assert_eq!(found.of(PartKind::Weights), 0);
}

#[test]
fn accelerators_hold_their_layers_with_cells_and_buffers() {
    let machine = with_accelerators();
    let model = model("Q4_K");
    let mut all = plan(4096);
    all.offload = Offload::of(-1, &model, &machine);
    assert_eq!(all.offload.count(), 9);
    let found = of(&model, &all, &machine);
    let on = |name: &str, kind| {
        let mut parts = found.parts().iter();
        let device = DeviceId::new(name);
        parts
            .find(|part| part.kind == kind && part.device == device)
            .map_or(0, |part| part.bytes)
    };
    // The first one has four layers, the second one four and the output.
    assert_eq!(on("CUDA0", PartKind::Weights), 20 * MIB);
    assert_eq!(on("CUDA1", PartKind::Weights), 23 * MIB);
    assert_eq!(on("CPU", PartKind::MappedWeights), 3 * MIB);
    assert_eq!(
        on("CUDA0", PartKind::KvCache),
        on("CUDA1", PartKind::KvCache)
    );
    assert!(on("CUDA0", PartKind::Compute) > 0);
    assert_eq!(
        found.host() + found.on(&DeviceId::new("CUDA0")) + found.on(&DeviceId::new("CUDA1")),
        found.total()
    );
}

#[test]
fn experts_can_stay_in_main_memory() {
    let machine = with_accelerators();
    let mut model = model("Q4_K");
    model.layers[0].layer.experts = tensors("Q4_K", 10 * MIB);
    let mut plan = plan(4096);
    plan.offload = Offload::of(-1, &model, &machine);
    plan.offload.experts_on_host = 8;
    let found = of(&model, &plan, &machine);
    assert_eq!(found.of(PartKind::MappedWeights), (3 + 8 * 10) * MIB);
    assert_eq!(found.of(PartKind::Weights), 43 * MIB);
}

#[test]
fn a_split_model_is_one_model() {
    let whole = model("Q4_K");
    let mut first = whole.clone();
    first.output = Tensors::default();
    first.layers = vec![LayerRun {
        count: 8,
        layer: LayerFacts {
            feed_forward: Tensors::default(),
            ..whole.layers[0].layer.clone()
        },
    }];
    let second = MemoryFacts {
        output: whole.output.clone(),
        layers: vec![LayerRun {
            count: 8,
            layer: LayerFacts {
                feed_forward: whole.layers[0].layer.feed_forward.clone(),
                ..LayerFacts::default()
            },
        }],
        ..MemoryFacts::default()
    };
    let files = Files {
        weights: &[first, second],
        ..Files::default()
    };
    let shards = predict(&files, &plan(4096), &Machine::default());
    assert_eq!(
        shards.parts(),
        of(&whole, &plan(4096), &Machine::default()).parts()
    );
}

#[test]
fn other_files_of_the_model_are_counted() {
    let (weights, draft) = ([model("Q4_K")], model("Q4_0"));
    let projector = MemoryFacts {
        file_bytes: 30 * MIB,
        image_cells: 256,
        ..MemoryFacts::default()
    };
    let adapters = [MemoryFacts {
        rest: tensors("F16", 2 * MIB),
        ..MemoryFacts::default()
    }];
    let files = Files {
        weights: &weights,
        projector: Some(&projector),
        draft: Some(&draft),
        adapters: &adapters,
    };
    let plan = LoadPlan {
        host_cache: 7 * MIB,
        ..plan(4096)
    };
    let found = predict(&files, &plan, &Machine::default());
    assert!(found.of(PartKind::Projector) >= 30 * MIB);
    assert!(found.of(PartKind::Draft) > 46 * MIB + 8 * 4096 * 1024);
    assert_eq!(found.of(PartKind::Adapters), 2 * MIB);
    assert_eq!(found.of(PartKind::HostCache), 7 * MIB);
}

#[test]
fn an_absurd_load_is_a_large_number() {
    let mut model = model("F16");
    model.vocabulary = u64::MAX;
    model.embedding_length = u64::MAX;
    model.window = u64::MAX;
    let layer = &mut model.layers[0].layer;
    *layer = LayerFacts {
        attention: tensors("Q8_0", u64::MAX),
        feed_forward: tensors("Q4_0", u64::MAX),
        experts: tensors("Q4_K", u64::MAX),
        query_width: u64::MAX,
        key_width: u64::MAX,
        value_width: u64::MAX,
        windowed: true,
        state: u64::MAX,
        feed_forward_length: u64::MAX,
    };
    let layer = layer.clone();
    model.layers.push(LayerRun {
        count: u32::MAX,
        layer,
    });
    let machine = Machine {
        packing: Packing::of_module("sapphirerapids", true),
        threads: u32::MAX,
        ..with_accelerators()
    };
    let plan = LoadPlan {
        sequences: u32::MAX,
        host_cache: u64::MAX,
        offload: Offload::of(i32::MAX, &model, &machine),
        ..plan(1 << 31)
    };
    assert_eq!(of(&model, &plan, &machine).total(), u64::MAX);
}

proptest! {
    #[test]
    fn more_of_anything_never_takes_less(
        context in 4_u32..100_000, more in 0_u32..100_000,
        sequences in 1_u32..64, others in 0_u32..64,
    ) {
        let machine = Machine::default();
        let model = model("Q4_K");
        let found = |context, sequences| {
            let plan = LoadPlan { sequences, ..plan(context) };
            of(&model, &plan, &machine)
        };
        let (least, most) = (found(context, sequences), found(context + more, sequences));
        prop_assert!(least.total() <= most.total());
        // A micro-batch is rounded to a multiple of the sequences, so the compute buffer is not monotone in them.
        let most = found(context, sequences + others);
        prop_assert!(least.of(PartKind::KvCache) <= most.of(PartKind::KvCache));
        prop_assert!(least.of(PartKind::Process) <= most.of(PartKind::Process));
    }

    #[test]
    fn each_layer_is_on_one_device(gpu_layers in -1..20, first in 0_u64..100, second in 0_u64..100) {
        let mut machine = with_accelerators();
        machine.accelerators[0].memory.free = first << 20;
        machine.accelerators[1].memory.free = second << 20;
        let model = model("Q4_K");
        let offload = Offload::of(gpu_layers, &model, &machine);
        let wanted = if gpu_layers < 0 { 9 } else { (gpu_layers as u32).min(9) };
        prop_assert_eq!(offload.count(), if first + second == 0 { 0 } else { wanted });
        let plan = LoadPlan { offload, ..plan(4096) };
        let weights = of(&model, &plan, &machine);
        let bytes = weights.of(PartKind::Weights) + weights.of(PartKind::MappedWeights);
        prop_assert_eq!(bytes, 46 * MIB);
    }
}
