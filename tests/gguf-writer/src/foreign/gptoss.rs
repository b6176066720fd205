//! gpt-oss.

use super::Pair;
use super::dense::{HEADS, KV, LAYERS, WIDTH, attention, embeddings, model, with_vocabulary};
use super::twins::{Fill, Ones, Twins, Zeros, with};
use crate::{Writer, tiny};

const EXPERTS: u64 = 4;
/// Width of one expert.
const EXPERT: u64 = 32;

fn base(architecture: &str) -> Writer {
    let key = |rest: &str| format!("{architecture}.{rest}");
    let writer = model(architecture)
        .kv(&key("expert_count"), EXPERTS as u32)
        .kv(&key("expert_used_count"), 2_u32)
        .kv(&key("attention.sliding_window"), 64_u32)
        .kv(&key("rope.scaling.factor"), 4_f32)
        .kv(&key("rope.scaling.original_context_length"), 512_u32);
    with_vocabulary(writer, 0)
}

pub(super) fn gptoss(seed: u64) -> Pair {
    let mut twins = Twins::new(seed);
    embeddings(&mut twins);
    for layer in 0..LAYERS {
        let prefix = format!("blk.{layer}.");
        block(&mut twins, &prefix);
    }
    twins.norms("", &[("output_norm", WIDTH)]);
    twins.matrices("", &[("output", &[WIDTH, tiny::size()])]);
    let weights = base("gpt-oss")
        .kv("gpt-oss.expert_feed_forward_length", EXPERT as u32)
        .kv("gpt-oss.rope.scaling.type", "yarn")
        .kv("tokenizer.ggml.pre", "gpt-4o");
    let ollama = base("gptoss").kv("tokenizer.ggml.pre", "default");
    Pair {
        name: "gptoss",
        ollama: with(ollama, &twins.ollama),
        weights: Some(with(weights, &twins.ours)),
        projector: None,
        runs: true,
    }
}

fn block(twins: &mut Twins, prefix: &str) {
    let name = |rest: &str| format!("{prefix}{rest}");
    attention(twins, prefix);
    for (part, width) in [("attn_q", WIDTH), ("attn_k", KV), ("attn_v", KV)] {
        twins.same(&name(&format!("{part}.bias")), &[width], Zeros);
    }
    twins.named(
        &name("attn_out.weight"),
        &name("attn_output.weight"),
        &[WIDTH, WIDTH],
        Fill::Random,
    );
    twins.named(
        &name("attn_out.bias"),
        &name("attn_output.bias"),
        &[WIDTH],
        Zeros,
    );
    twins.named(
        &name("attn_sinks"),
        &name("attn_sinks.weight"),
        &[HEADS.into()],
        Fill::Random,
    );
    twins.named(
        &name("ffn_norm.weight"),
        &name("post_attention_norm.weight"),
        &[WIDTH],
        Ones,
    );
    twins.matrices(prefix, &[("ffn_gate_inp", &[WIDTH, EXPERTS])]);
    twins.same(&name("ffn_gate_inp.bias"), &[EXPERTS], Zeros);
    for (part, input, output) in [
        ("ffn_gate_exps", WIDTH, EXPERT),
        ("ffn_up_exps", WIDTH, EXPERT),
        ("ffn_down_exps", EXPERT, WIDTH),
    ] {
        twins.matrices(prefix, &[(part, &[input, output, EXPERTS])]);
        twins.same(&name(&format!("{part}.bias")), &[output, EXPERTS], Zeros);
    }
}
