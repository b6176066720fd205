//! GLM-OCR and GLM-4.7-Flash.

use super::Pair;
use super::dense::{
    CLIP, FEED_FORWARD, HEAD, LAYERS, PATCH, SIDE, VISION_FEED_FORWARD, VISION_WIDTH, WIDTH,
    attention, embeddings, model, projector, vision_keys, with_vocabulary,
};
use super::twins::{Fill, Ones, Twins, with};
use crate::{Tensor, Value, Writer};

pub(super) fn glmocr(seed: u64) -> Pair {
    let mut twins = Twins::new(seed);
    embeddings(&mut twins);
    for layer in 0..LAYERS {
        glmocr_block(&mut twins, &format!("blk.{layer}."));
    }
    twins.norms("", &[("output_norm", WIDTH)]);
    let weights = with_vocabulary(model("glm4"), 0)
        .kv(
            "glm4.rope.dimension_sections",
            Value::from(vec![2_i32, 3, 3, 0]),
        )
        .kv("tokenizer.ggml.pre", "chatglm-bpe");
    let ollama = with_vocabulary(model("glmocr"), 0)
        .without("glmocr.rope.dimension_count")
        .kv("glmocr.rope.mrope_section", Value::from(vec![2_i32, 3, 3]))
        .kv("tokenizer.ggml.pre", "glm4");

    let mut vision = Twins::new(seed + 1);
    for (ollama, ours) in [
        ("v.patch_embd_0.weight", "v.patch_embd.weight"),
        ("v.patch_embd_1.weight", "v.patch_embd.weight.1"),
    ] {
        vision.widened(ollama, ours, &[PATCH, PATCH, 3, VISION_WIDTH]);
    }
    vision.norms(
        "",
        &[("v.blk.0.ln1", VISION_WIDTH), ("v.post_ln", VISION_WIDTH)],
    );
    vision.matrices("", &[("mm.model.fc", &[VISION_WIDTH, WIDTH])]);
    let about_eyes = |writer: Writer, prefix: &str| {
        vision_keys(writer, prefix, 1)
            .kv(&format!("{prefix}.image_size"), (PATCH * SIDE) as u32)
            .kv(&format!("{prefix}.spatial_merge_size"), 2_u32)
    };
    let sight = about_eyes(projector("glm4v", Some("use_silu"), CLIP), "clip.vision")
        .kv(
            "clip.vision.feed_forward_length",
            VISION_FEED_FORWARD as u32,
        )
        .kv("clip.vision.attention.layer_norm_epsilon", 1e-5_f32);
    let ollama = about_eyes(ollama, "glmocr.vision")
        .kv(
            "glmocr.vision.intermediate_size",
            VISION_FEED_FORWARD as u32,
        )
        .kv("glmocr.vision.attention.layer_norm_rms_epsilon", 1e-5_f32)
        .kv("glmocr.vision.out_hidden_size", WIDTH as u32)
        .kv("glmocr.vision.image_mean", Value::from(CLIP.0.to_vec()))
        .kv("glmocr.vision.image_std", Value::from(CLIP.1.to_vec()));
    let ollama = with(ollama, &twins.ollama);
    Pair {
        name: "glmocr",
        ollama: with(ollama, &vision.ollama),
        weights: Some(with(weights, &twins.ours)),
        projector: Some(with(sight, &vision.ours)),
        runs: false,
    }
}

fn glmocr_block(twins: &mut Twins, prefix: &str) {
    let name = |rest: &str| format!("{prefix}{rest}");
    attention(twins, prefix);
    for (ollama, ours, dims, fill) in [
        ("attn_out", "attn_output", &[WIDTH, WIDTH][..], Fill::Random),
        ("post_attn_norm", "post_attention_norm", &[WIDTH], Ones),
        ("ffn_norm", "ffn_norm", &[WIDTH], Ones),
        ("post_ffn_norm", "post_ffw_norm", &[WIDTH], Ones),
        ("ffn_down", "ffn_down", &[FEED_FORWARD, WIDTH], Fill::Random),
    ] {
        let end = |part: &str| name(&format!("{part}.weight"));
        twins.named(&end(ollama), &end(ours), dims, fill);
    }
    let dims = [WIDTH, FEED_FORWARD];
    let mut joined = Vec::new();
    for part in ["ffn_gate.weight", "ffn_up.weight"] {
        let values = twins.values(&dims, Fill::Random);
        twins.ollama.push(Tensor::f32(&name(part), &dims, &values));
        joined.extend(values);
    }
    let dims = [WIDTH, 2 * FEED_FORWARD];
    twins
        .ours
        .push(Tensor::f32(&name("ffn_up.weight"), &dims, &joined));
}

pub(super) fn glm4moelite(seed: u64) -> Pair {
    const RANK: u32 = 32;
    let base = |architecture: &str| {
        let writer = with_vocabulary(model(architecture), 0);
        writer.kv(&format!("{architecture}.attention.kv_lora_rank"), RANK)
    };
    let mut twins = Twins::new(seed);
    embeddings(&mut twins);
    let weights = base("deepseek2")
        .replace("deepseek2.attention.head_count_kv", 1_u32)
        .replace("deepseek2.attention.key_length", RANK + HEAD as u32)
        .replace("deepseek2.attention.value_length", RANK)
        .kv("deepseek2.attention.key_length_mla", HEAD as u32)
        .kv("deepseek2.attention.value_length_mla", HEAD as u32)
        .kv("deepseek2.expert_group_count", 1_u32)
        .kv("deepseek2.expert_group_used_count", 1_u32)
        .kv("deepseek2.expert_count", 4_u32)
        .kv("deepseek2.expert_used_count", 2_u32)
        .kv("tokenizer.ggml.pre", "glm4")
        .kv(
            "tokenizer.ggml.eos_token_ids",
            Value::from(vec![2_i32, 3, 4]),
        )
        .kv("tokenizer.ggml.eot_token_id", 3_u32)
        .kv("tokenizer.ggml.eom_token_id", 4_u32);
    let ollama = base("glm4moelite")
        .kv("glm4moelite.expert_count", 4_u32)
        .kv("glm4moelite.expert_used_count", 2_u32)
        .kv(
            "tokenizer.ggml.eos_token_ids",
            Value::from(vec![2_i32, 3, 4]),
        );
    Pair {
        name: "glm4moelite",
        ollama: with(ollama, &twins.ollama),
        weights: Some(with(weights, &twins.ours)),
        projector: None,
        runs: false,
    }
}
