//! A runner with LoRA adapters.

use std::{fs::File, os::fd::AsRawFd};

use runner_protocol::{Adapter, AdapterScale, Call, Generate, MemoryKind};

use crate::harness::{Runner, greedy, inheritable};

/// An adapter for a matrix of the tiny model.
pub(crate) fn lora(tensor: &str) -> Vec<u8> {
    gguf_writer::lora("llama", tensor, 64, 7)
}

/// The scale of one adapter.
pub(crate) fn scale(digest: &str, scale: f32) -> AdapterScale {
    AdapterScale {
        digest: digest.to_owned(),
        scale,
    }
}

/// Two adapters that say different things.
pub(crate) fn two() -> [(&'static str, File); 2] {
    [("a", 7), ("b", 5)].map(|(digest, period)| {
        let file = inheritable(&gguf_writer::lora(
            "llama",
            "blk.0.attn_q.weight",
            64,
            period,
        ));
        (digest, file)
    })
}

/// Adapters of a load.
pub(crate) fn listed(adapters: &[(&str, File)]) -> Vec<Adapter> {
    let adapters = adapters.iter().map(|(digest, file)| Adapter {
        fd: file.as_raw_fd(),
        digest: (*digest).to_owned(),
    });
    adapters.collect()
}

/// A runner with these adapters.
fn with(adapters: &[(&str, File)]) -> Runner {
    Runner::loaded(|load| load.adapters = listed(adapters))
}

/// A request with these adapters.
fn asking(adapters: &[AdapterScale]) -> Generate {
    Generate {
        adapters: adapters.to_vec(),
        ..greedy("hello the sky", 32)
    }
}

#[test]
fn an_adapter_changes_the_answer_by_its_scale() {
    let plain = Runner::loaded(|_| ()).generate(asking(&[])).0;
    let mut runner = with(&two());
    assert_eq!(runner.generate(asking(&[])).0, plain);
    assert_eq!(runner.generate(asking(&[scale("a", 0.0)])).0, plain);
    assert_ne!(runner.generate(asking(&[scale("a", 1.0)])).0, plain);
}

#[test]
fn models_that_share_a_runner_answer_as_alone() {
    let [a, b] = two();
    let models = [vec![], vec![scale("a", 1.0)], vec![scale("b", 1.0)]];
    let mut alone = [
        Runner::loaded(|_| ()),
        with(std::slice::from_ref(&a)),
        with(std::slice::from_ref(&b)),
    ];
    let expected: Vec<String> = alone
        .iter_mut()
        .zip(&models)
        .map(|(runner, model)| runner.generate(asking(model)).0)
        .collect();
    assert!(expected[0] != expected[1] && expected[1] != expected[2] && expected[0] != expected[2]);
    let [other_a, other_b] = two();
    for order in [[a, b], [other_b, other_a]] {
        let mut shared = with(&order);
        // Together, and once more from what the first round has computed.
        for _ in 0..2 {
            let ids: Vec<u64> = models
                .iter()
                .map(|model| shared.send(Call::Generate(Box::new(asking(model)))))
                .collect();
            let found: Vec<String> = ids.into_iter().map(|id| shared.answer(id).0).collect();
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn an_adapter_of_another_model_is_refused_with_a_reason_and_the_others_serve() {
    let [a, _] = two();
    let strange = inheritable(&lora("blk.7.attn_q.weight"));
    let adapters = [("strange", &strange), ("a", &a.1)].map(|(digest, file)| Adapter {
        fd: file.as_raw_fd(),
        digest: digest.to_owned(),
    });
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    let loaded = runner
        .load(|load| load.adapters = adapters.to_vec())
        .unwrap();
    let [refused] = loaded.refused_adapters.as_slice() else {
        panic!("one is refused: {loaded:?}");
    };
    assert_eq!(refused.digest, "strange");
    assert!(!refused.reason.contains("no reason"), "{refused:?}");
    let counted = loaded
        .memory
        .iter()
        .find(|part| part.kind == MemoryKind::Adapters);
    assert_eq!(
        counted.map(|part| part.bytes),
        Some(a.1.metadata().unwrap().len())
    );

    let mut alone = with(&[a]);
    let expected = alone.generate(asking(&[scale("a", 1.0)])).0;
    assert_eq!(runner.generate(asking(&[scale("a", 1.0)])).0, expected);
    let (_, message) = runner.fails(Call::Generate(Box::new(asking(&[scale("strange", 1.0)]))));
    assert!(message.contains("strange"), "{message}");
}
