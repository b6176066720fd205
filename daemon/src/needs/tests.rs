//! Predictions for a model in a store, and what loads teach.

use registry::{Base, Create, Digest, ModelName, Reporter};
use runner_protocol::{KvType, MemoryKind};

use super::*;

async fn store(home: &std::path::Path) -> (Registry, Model) {
    let registry = Registry::open(registry::Options::new(home)).await.unwrap();
    let weights = gguf_writer::tiny::llama(1);
    let digest = Digest::of(&weights);
    let body = futures::stream::iter([Ok(weights.into())]);
    registry.put_blob(&digest, None, body).await.unwrap();
    let name = ModelName::parse("m").unwrap();
    let create = Create::new(name.clone(), Base::Blobs(vec![digest]));
    registry.create(create, &Reporter::silent()).await.unwrap();
    let model = registry.model(&name).await.unwrap();
    (registry, model)
}

/// A load with all layers on an accelerator with so much free memory.
fn settings(free: u64) -> NeedSettings {
    NeedSettings {
        load: LoadSettings {
            context: 512,
            batch: 512,
            threads: 1,
            gpu_layers: -1,
            host_experts: 0,
            main_gpu: 0,
            mmap: true,
            kv_type: KvType::F16,
        },
        sequences: 1,
        devices: vec![DeviceMemory {
            is_integrated: false,
            name: "CUDA0".to_owned(),
            total: 1 << 40,
            free,
        }],
        kernels: true,
        names_context: false,
        names_kv_type: false,
        names_sequences: false,
    }
}

#[tokio::test]
async fn a_device_that_a_load_exceeded_gets_fewer_layers_at_the_next_one() {
    let home = tempfile::tempdir().unwrap();
    let (registry, model) = store(home.path()).await;
    let needs = Needs::default();
    let device = DeviceId::new("CUDA0");
    let all = needs.of(&registry, &model, settings(1 << 40)).await;
    let free = all.need.usage.on(&device);
    assert!(free > 0, "{all:?}");
    // It fills the device to the brim.
    let full = needs.of(&registry, &model, settings(free)).await;
    assert_eq!(full.need.usage.on(&device), free);

    let loaded = NeedSettings {
        load: full.offloaded.expect("the layers are counted"),
        ..settings(free)
    };
    let memory = registry.model_memory(&model).await.unwrap();
    let machine = needs.machine(true, &loaded.devices);
    let plan = stated(&memory, &loaded, &machine);
    let predicted = planner::predict(&files(&memory), &plan, &machine).of(PartKind::KvCache);
    let reported = [MemoryPart {
        kind: MemoryKind::KvCache,
        device: "CUDA0".to_owned(),
        bytes: predicted + predicted / 5,
    }];
    let key = model.key();
    needs.learn(&registry, &key, loaded, &reported).await;

    for needs in [needs, Needs::default()] {
        let next = needs.of(&registry, &model, settings(free)).await;
        let taken = next.need.usage.on(&device);
        assert!(taken <= free, "{taken} of {free}: {}", next.reason);
        assert_ne!(next.offloaded, full.offloaded, "{}", next.reason);
        // A larger device still gets all layers, with the memory that they took.
        let all = needs.of(&registry, &model, settings(1 << 40)).await;
        assert!(all.need.usage.on(&device) > free, "{all:?}");
    }
}
