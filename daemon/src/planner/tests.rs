//! Predictions for models that the writer of tests makes.

use proptest::prelude::*;
use registry::memory::{LayerFacts, LayerRun, MemoryFacts, TensorBytes, Tensors};
use runner_protocol::{KvType, LoadSettings, MemoryKind, MemoryPart};

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
        correction: None,
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

fn reported(kind: MemoryKind, bytes: u64) -> MemoryPart {
    MemoryPart {
        kind,
        device: "CPU".into(),
        bytes,
    }
}

#[test]
fn what_a_load_took_corrects_the_next_prediction() {
    let found = of(&model("F16"), &plan(4096), &Machine::default());
    let cache = found.of(PartKind::KvCache);
    let report = [
        reported(MemoryKind::KvCache, 2 * cache),
        reported(
            MemoryKind::MappedWeights,
            2 * found.of(PartKind::MappedWeights),
        ),
    ];
    let correction = Correction::between(&found, &report).expect("sizes are reported");
    assert!((correction.ratio() - 2.0).abs() < 1e-9);
    let corrected = correction.apply(&found);
    assert_eq!(corrected.of(PartKind::KvCache), 2 * cache);
    assert_eq!(corrected.of(PartKind::Process), found.of(PartKind::Process));
    assert_eq!(Correction::between(&found, &[]), None);
}

#[test]
fn an_absurd_report_corrects_within_bounds() {
    let found = of(&model("F16"), &plan(4096), &Machine::default());
    let report = [reported(MemoryKind::KvCache, u64::MAX)];
    let correction = Correction::between(&found, &report).expect("sizes are reported");
    assert!((correction.ratio() - 4.0).abs() < 1e-9);
}

#[test]
fn other_settings_have_another_class() {
    let base = plan(4096);
    let others = [
        plan(8192),
        LoadPlan {
            sequences: 5,
            ..plan(4096)
        },
        LoadPlan {
            offload: Offload::of(-1, &model("F16"), &with_accelerators()),
            ..plan(4096)
        },
    ];
    assert_eq!(base.class(), plan(4096).class());
    for other in others {
        assert_ne!(base.class(), other.class());
    }
}

/// A machine with this much main memory, and an accelerator with so much, where it has one.
fn machine(host: u64, accelerator: u64) -> Machine {
    let capacity = |free| Capacity { total: free, free };
    let accelerator = (accelerator > 0).then(|| Accelerator {
        id: DeviceId::new("CUDA0"),
        memory: capacity(accelerator),
    });
    Machine {
        host: capacity(host),
        accelerators: accelerator.into_iter().collect(),
        ..Machine::default()
    }
}

fn wish(context: u32) -> LoadPlan {
    let mut wish = plan(context);
    wish.settings.gpu_layers = -1;
    wish
}

fn fitted(
    model: &MemoryFacts,
    wish: &LoadPlan,
    fixed: Fixed,
    machine: &Machine,
) -> Result<Placement, Impossible> {
    let files = Files {
        weights: std::slice::from_ref(model),
        ..Files::default()
    };
    fit(&files, wish, fixed, machine)
}

#[test]
fn a_model_that_fits_is_loaded_as_wished() {
    let found = fitted(
        &model("Q4_K"),
        &wish(16_384),
        Fixed::default(),
        &machine(1 << 30, 1 << 30),
    );
    let found = found.expect("it fits");
    assert_eq!(found.plan.offload.count(), 9);
    assert_eq!(
        (found.plan.settings.context, found.plan.sequences),
        (16_384, 4)
    );
    assert_eq!(found.reasons.len(), 2, "{:?}", found.reasons);
    // The units of `slm ps` and of the table of `slm plan`.
    assert!(
        found.reasons[1].ends_with(" MB of 1.1 GB free"),
        "{:?}",
        found.reasons
    );
    assert!(
        found.reasons[0].starts_with("9 of 9 layers on CUDA0: "),
        "{:?}",
        found.reasons
    );
}

#[test]
fn layers_stay_on_the_processor_before_the_context_shrinks() {
    let found = fitted(
        &model("Q4_K"),
        &wish(16_384),
        Fixed::default(),
        &machine(1 << 30, 150 * MIB),
    );
    let found = found.expect("it fits");
    assert!(
        (1..9).contains(&found.plan.offload.count()),
        "{:?}",
        found.plan.offload
    );
    assert_eq!(found.plan.settings.context, 16_384);
    assert_eq!(
        found.plan.settings.gpu_layers,
        found.plan.offload.count() as i32
    );
}

#[test]
fn the_host_cache_is_given_up_before_slots() {
    let wish = LoadPlan {
        host_cache: 20 * MIB,
        ..wish(4096)
    };
    let without = of(&model("Q4_K"), &plan(4096), &Machine::default()).host();
    let small = machine(without, 0);
    let found = fitted(&model("Q4_K"), &wish, Fixed::default(), &small).expect("it fits");
    assert_eq!((found.plan.host_cache, found.plan.sequences), (0, 4));
    assert!(
        found.reasons[1].starts_with("no host cache, because "),
        "{:?}",
        found.reasons
    );
    let fixed = Fixed {
        host_cache: true,
        ..Fixed::default()
    };
    let found = fitted(&model("Q4_K"), &wish, fixed, &small).expect("it fits");
    assert_eq!(found.plan.host_cache, 20 * MIB);
    assert!(found.plan.sequences < 4, "{:?}", found.reasons);
}

#[test]
fn experts_leave_the_accelerator_first() {
    let mut model = model("Q4_K");
    model.layers[0].layer.experts = tensors("Q4_K", 30 * MIB);
    let found = fitted(
        &model,
        &wish(4096),
        Fixed::default(),
        &machine(1 << 30, 250 * MIB),
    );
    let found = found.expect("it fits");
    assert_eq!(found.plan.offload.count(), 9, "{:?}", found.reasons);
    assert!(
        (1..8).contains(&found.plan.offload.experts_on_host),
        "{:?}",
        found.reasons
    );
    assert_eq!(
        found.plan.settings.host_experts,
        found.plan.offload.experts_on_host
    );
    assert!(
        found
            .reasons
            .iter()
            .any(|reason| reason.contains("experts")),
        "{:?}",
        found.reasons
    );
}

#[test]
fn the_context_shrinks_when_main_memory_is_short() {
    let need = |context| {
        let found = of(&model("Q4_K"), &plan(context), &Machine::default());
        found.host()
    };
    let found = fitted(
        &model("Q4_K"),
        &wish(32_768),
        Fixed::default(),
        &machine(need(4096), 0),
    );
    let found = found.expect("it fits");
    assert_eq!(found.plan.settings.kv_type, KvType::Q8_0);
    assert!(
        found.plan.settings.context >= 4096,
        "{:?}",
        found.plan.settings
    );
    assert!(found.plan.settings.context < 32_768);
    assert!(found.prediction.host() <= need(4096));
    assert!(
        found
            .reasons
            .iter()
            .any(|reason| reason.contains("instead of 32768")),
        "{:?}",
        found.reasons
    );
}

#[test]
fn what_was_asked_for_is_kept_or_refused() {
    let all = Fixed {
        context: true,
        kv_type: true,
        sequences: true,
        layers: true,
        host_cache: true,
    };
    let refused = fitted(&model("Q4_K"), &wish(32_768), all, &machine(100 * MIB, 0));
    let refused = refused.expect_err("it does not fit");
    assert!(refused.needed > refused.have);
    assert!(
        refused.help.iter().any(|help| help.contains("context")),
        "{:?}",
        refused.help
    );
    let kept = fitted(&model("Q4_K"), &wish(32_768), all, &machine(1 << 30, 0)).expect("it fits");
    assert_eq!(kept.plan.settings.context, 32_768);
}

#[test]
fn a_model_larger_than_everything_is_refused() {
    let refused = fitted(
        &model("Q4_K"),
        &wish(4096),
        Fixed::default(),
        &machine(20 * MIB, 20 * MIB),
    );
    let refused = refused.expect_err("it does not fit");
    assert!(refused.needed > 46 * MIB, "{refused:?}");
    assert!(
        refused
            .help
            .iter()
            .any(|help| help.contains("smaller model"))
    );
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

    #[test]
    fn a_placed_model_never_exceeds_the_memory(
        host in 0_u64..600, accelerator in 0_u64..600, context in 512_u32..65_536,
        sequences in 1_u32..16, experts in 0_u64..20, fixed in any::<[bool; 5]>(), measured in 20_u64..400,
    ) {
        let mut model = model("Q4_K");
        model.layers[0].layer.experts = tensors("Q4_K", experts * MIB);
        let machine = machine(host * MIB, accelerator * MIB);
        let [context_is_fixed, kv_type, slots, layers, host_cache] = fixed;
        let fixed = Fixed { context: context_is_fixed, kv_type, sequences: slots, layers, host_cache };
        let correction = Some(Correction { predicted: 100, measured });
        let wish = LoadPlan { sequences, correction, host_cache: 30 * MIB, ..wish(context) };
        let Ok(placed) = fitted(&model, &wish, fixed, &machine) else { return Ok(()) };
        prop_assert!(placed.prediction.host() <= host * MIB);
        prop_assert!(placed.prediction.on(&DeviceId::new("CUDA0")) <= accelerator * MIB);
        prop_assert!(!context_is_fixed || placed.plan.settings.context == context);
        prop_assert!(!slots || placed.plan.sequences == sequences);
        let again = of(&model, &placed.plan, &machine);
        prop_assert_eq!(placed.prediction.parts(), again.parts());
    }

    #[test]
    fn more_memory_never_makes_a_model_impossible_or_its_context_smaller(
        host in 40_u64..600, accelerator in 0_u64..300, more in 0_u64..300, context in 512_u32..65_536,
    ) {
        let model = model("Q4_K");
        let placed = |host: u64| {
            let machine = machine(host * MIB, accelerator * MIB);
            fitted(&model, &wish(context), Fixed::default(), &machine)
        };
        let Ok(least) = placed(host) else { return Ok(()) };
        let most = placed(host + more);
        prop_assert!(most.is_ok());
        prop_assert!(most.is_ok_and(|most| most.plan.settings.context >= least.plan.settings.context));
    }
}
