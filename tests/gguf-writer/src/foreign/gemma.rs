//! Gemma 3, and the embedding model based on it.

use super::Pair;
use super::dense::{
    HALVES, HEAD, LAYERS, PATCH, SIDE, VISION_FEED_FORWARD, VISION_WIDTH, WIDTH, layers, linear,
    model, norm, projector, vision_keys, with_vocabulary,
};
use super::twins::{Fill, Twins, with};
use crate::Writer;

/// Context length from which on positions are scaled.
const LONG: u32 = 131_072;
/// Tokens in Ollama's list without a row in the table of embeddings.
const MORE: usize = 3;
/// With fewer layers the embedding model has none with global attention, and llama.cpp aborts.
const ONE_OF_EACH: u32 = 6;
/// The template that a translation adds, because Ollama's files have none.
const TEMPLATE: &str = include_str!("../../../../registry/src/translate/families/gemma3.jinja");

fn norms(twins: &mut Twins, prefix: &str) {
    twins.norms(
        prefix,
        &[
            ("post_attention_norm", WIDTH),
            ("post_ffw_norm", WIDTH),
            ("attn_q_norm", HEAD),
            ("attn_k_norm", HEAD),
        ],
    );
}

/// The keys of the RoPE base, which have other names in Ollama's file.
fn rotated(writer: Writer) -> Writer {
    writer
        .without("gemma3.rope.freq_base")
        .kv("gemma3.rope.global.freq_base", 1e6_f32)
        .kv("gemma3.rope.local.freq_base", 1e4_f32)
}

pub(super) fn gemma3(seed: u64) -> Pair {
    let base = model("gemma3")
        .replace("gemma3.context_length", LONG)
        .kv("gemma3.attention.sliding_window", 64_u32);
    let mut twins = Twins::new(seed);
    layers(&mut twins, LAYERS, norms);
    let weights = with_vocabulary(base.clone(), 0)
        .replace("tokenizer.chat_template", TEMPLATE)
        .kv("gemma3.rope.freq_base_swa", 1e4_f32)
        .kv("gemma3.rope.scaling.type", "linear")
        .kv("gemma3.rope.scaling.factor", 8_f32);
    let weights = with(weights, &twins.ours);

    let mut vision = Twins::new(seed + 1);
    vision_tensors(&mut vision);
    let about_eyes = |writer: Writer, prefix: &str| {
        vision_keys(writer, prefix, 1)
            .kv(
                &format!("{prefix}.feed_forward_length"),
                VISION_FEED_FORWARD as u32,
            )
            .kv(&format!("{prefix}.image_size"), (PATCH * SIDE) as u32)
            .kv(&format!("{prefix}.attention.layer_norm_epsilon"), 1e-6_f32)
    };
    let ollama = rotated(with_vocabulary(base, MORE))
        .without("gemma3.attention.layer_norm_rms_epsilon")
        .without("tokenizer.chat_template")
        .kv("gemma3.mm.tokens_per_image", 4_u32);
    let ollama = with(about_eyes(ollama, "gemma3.vision"), &twins.ollama);
    let sight = about_eyes(projector("gemma3", Some("use_gelu"), HALVES), "clip.vision");
    Pair {
        name: "gemma3",
        ollama: with(ollama, &vision.ollama),
        weights: Some(weights),
        projector: Some(with(sight, &vision.ours)),
        runs: true,
    }
}

fn vision_tensors(vision: &mut Twins) {
    vision.widened(
        "v.patch_embedding.weight",
        "v.patch_embd.weight",
        &[PATCH, PATCH, 3, VISION_WIDTH],
    );
    vision.named(
        "v.patch_embedding.bias",
        "v.patch_embd.bias",
        &[VISION_WIDTH],
        Fill::Zeros,
    );
    vision.widened(
        "v.position_embedding.weight",
        "v.position_embd.weight",
        &[VISION_WIDTH, SIDE * SIDE],
    );
    for (ollama, ours) in [
        ("attn_q", "attn_q"),
        ("attn_k", "attn_k"),
        ("attn_v", "attn_v"),
        ("attn_output", "attn_out"),
    ] {
        linear(
            vision,
            &format!("v.blk.0.{ollama}"),
            &format!("v.blk.0.{ours}"),
            [VISION_WIDTH, VISION_WIDTH],
        );
    }
    norm(vision, "v.blk.0.layer_norm1", "v.blk.0.ln1", VISION_WIDTH);
    norm(vision, "v.blk.0.layer_norm2", "v.blk.0.ln2", VISION_WIDTH);
    // Swapped on purpose: llama.cpp's converter swaps the names, and its loader swaps them back.
    linear(
        vision,
        "v.blk.0.mlp.fc1",
        "v.blk.0.ffn_down",
        [VISION_WIDTH, VISION_FEED_FORWARD],
    );
    linear(
        vision,
        "v.blk.0.mlp.fc2",
        "v.blk.0.ffn_up",
        [VISION_FEED_FORWARD, VISION_WIDTH],
    );
    norm(vision, "v.post_layernorm", "v.post_ln", VISION_WIDTH);
    vision.named(
        "mm.mm_input_projection.weight",
        "mm.input_projection.weight",
        &[WIDTH, VISION_WIDTH],
        Fill::Random,
    );
    vision.named(
        "mm.mm_soft_emb_norm.weight",
        "mm.soft_emb_norm.weight",
        &[VISION_WIDTH],
        Fill::Ones,
    );
}

pub(super) fn embedding(seed: u64) -> Pair {
    let base = |architecture: &str| {
        let key = |rest: &str| format!("{architecture}.{rest}");
        let writer = model(architecture)
            .replace(&key("block_count"), ONE_OF_EACH)
            .kv(&key("attention.sliding_window"), 64_u32)
            .kv(&key("pooling_type"), 1_u32);
        with_vocabulary(writer, 0).without("tokenizer.chat_template")
    };
    let mut twins = Twins::new(seed);
    layers(&mut twins, ONE_OF_EACH, norms);
    let last = |name: &[u8]| name == b"output_norm.weight";
    for tensor in twins.ollama.iter_mut().filter(|tensor| last(&tensor.name)) {
        tensor.name = b"norm.weight".to_vec();
    }
    twins.named(
        "dense.0.weight",
        "dense_2.weight",
        &[WIDTH, 2 * WIDTH],
        Fill::Random,
    );
    twins.named(
        "dense.1.weight",
        "dense_3.weight",
        &[2 * WIDTH, WIDTH],
        Fill::Random,
    );
    let weights = base("gemma-embedding")
        .kv("gemma-embedding.rope.freq_base_swa", 1e4_f32)
        .kv("gemma-embedding.dense_2_feat_in", WIDTH as u32)
        .kv("gemma-embedding.dense_2_feat_out", 2 * WIDTH as u32)
        .kv("gemma-embedding.dense_3_feat_in", 2 * WIDTH as u32)
        .kv("gemma-embedding.dense_3_feat_out", WIDTH as u32);
    let ollama = rotated(base("gemma3"))
        .kv("gemma3.attention.causal", false)
        .kv("gemma3.attention.sliding_window_pattern", vec![true, false]);
    Pair {
        name: "embeddinggemma",
        ollama: with(ollama, &twins.ollama),
        weights: Some(with(weights, &twins.ours)),
        projector: None,
        runs: true,
    }
}
