//! A model with a LoRA adapter.

use std::os::fd::AsRawFd;

use gguf_writer::{Tensor, Writer};
use runner_protocol::{Adapter, FailureKind};

use crate::harness::{Runner, greedy, inheritable};

/// An adapter of rank 1 for the queries of the tiny model's first layer, or for a tensor of another name.
pub(crate) fn lora(tensor: &str) -> Vec<u8> {
    let values: Vec<f32> = (0..64).map(|at| (at % 7) as f32 / 7.0 - 0.4).collect();
    Writer::new()
        .kv("general.type", "adapter")
        .kv("general.architecture", "llama")
        .kv("adapter.type", "lora")
        .kv("adapter.lora.alpha", 8.0_f32)
        .tensor(Tensor::f32(&format!("{tensor}.lora_a"), &[64, 1], &values))
        .tensor(Tensor::f32(&format!("{tensor}.lora_b"), &[1, 64], &values))
        .to_bytes()
}

/// What the model says with an adapter of this scale.
fn answer(scale: f32) -> String {
    let file = inheritable(&lora("blk.0.attn_q.weight"));
    let adapter = Adapter {
        fd: file.as_raw_fd(),
        scale,
    };
    let mut runner = Runner::loaded(|load| load.adapters = vec![adapter]);
    runner.generate(greedy("hello the sky", 32)).0
}

#[test]
fn an_adapter_changes_the_answer_by_its_scale() {
    let plain = Runner::loaded(|_| ())
        .generate(greedy("hello the sky", 32))
        .0;
    assert_eq!(answer(0.0), plain);
    assert_ne!(answer(1.0), plain);
}

#[test]
fn an_adapter_of_another_model_is_refused_with_a_reason() {
    let file = inheritable(&lora("blk.7.attn_q.weight"));
    let adapter = Adapter {
        fd: file.as_raw_fd(),
        scale: 1.0,
    };
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    let failure = runner
        .load(|load| load.adapters = vec![adapter])
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unsupported);
    assert!(
        failure.message.contains("adapter") && !failure.message.contains("no reason"),
        "{failure:?}"
    );
}
