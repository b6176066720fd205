//! Mistral Small 3.1.

use super::Pair;
use super::dense::{
    CLIP, EYE, EYE_FEED_FORWARD, EYE_HEADS, LAYERS, PATCH, SIDE, WIDTH, eye, layers, model,
    projector, words,
};
use super::twins::{Fill, Ones, Twins, halved, with};
use crate::{Tensor, Writer};

pub(super) fn mistral3(seed: u64) -> Pair {
    let base = words(model("mistral3"), 0)
        .kv("mistral3.rope.scaling.type", "yarn")
        .kv("mistral3.rope.scaling.factor", 4_f32)
        .kv("mistral3.rope.scaling.original_context_length", 512_u32);
    let mut twins = Twins::new(seed);
    layers(&mut twins, LAYERS, |_, _| ());
    let weights = base
        .clone()
        .kv("mistral3.rope.scaling.yarn_beta_fast", 32_f32)
        .kv("mistral3.rope.scaling.yarn_beta_slow", 1_f32)
        .kv("mistral3.rope.scaling.yarn_log_multiplier", 1_f32)
        .kv("mistral3.attention.temperature_scale", 0.1_f32)
        .kv("tokenizer.ggml.pre", "tekken");
    let ollama = base
        .kv("mistral3.rope.scaling.beta_fast", 32_f32)
        .kv("mistral3.rope.scaling.beta_slow", 1_f32)
        .kv("mistral3.rope.scaling.mscale_all_dim", 1_f32)
        .kv("mistral3.rope.scaling_beta", 0.1_f32);

    let mut eyes = Twins::new(seed + 1);
    see(&mut eyes);
    // The token that ends a row of a picture is the thirteenth.
    let table = &twins.ours[0];
    let row = table.data[12 * 4 * WIDTH as usize..][..4 * WIDTH as usize].to_vec();
    eyes.ours.push(Tensor::new(
        "v.token_embd.img_break",
        &[WIDTH],
        crate::TensorType::F32,
        row,
    ));
    let about_eyes = |writer: Writer, prefix: &str| {
        eye(writer, prefix, 1)
            .kv(
                &format!("{prefix}.feed_forward_length"),
                EYE_FEED_FORWARD as u32,
            )
            .kv(&format!("{prefix}.image_size"), (PATCH * SIDE) as u32)
            .kv(&format!("{prefix}.num_channels"), 3_u32)
    };
    let sight = about_eyes(projector("pixtral", Some("use_silu"), CLIP), "clip.vision")
        .kv("clip.vision.spatial_merge_size", 2_u32)
        .kv("clip.rope.freq_base", 1e4_f32)
        .kv("clip.vision.attention.layer_norm_epsilon", 1e-5_f32);
    let ollama = about_eyes(ollama, "mistral3.vision")
        .kv("mistral3.spatial_merge_size", 2_u32)
        .kv("mistral3.vision.rope.freq_base", 1e4_f32);
    let ollama = with(ollama, &twins.ollama);
    Pair {
        name: "mistral3",
        ollama: with(ollama, &eyes.ollama),
        weights: Some(with(weights, &twins.ours)),
        projector: Some(with(sight, &eyes.ours)),
        runs: true,
    }
}

fn see(eyes: &mut Twins) {
    eyes.widened(
        "v.patch_conv.weight",
        "v.patch_embd.weight",
        &[PATCH, PATCH, 3, EYE],
    );
    eyes.named("v.encoder_norm.weight", "v.pre_ln.weight", &[EYE], Ones);
    eyes.named(
        "v.blk.0.attn_norm.weight",
        "v.blk.0.ln1.weight",
        &[EYE],
        Ones,
    );
    eyes.named(
        "v.blk.0.ffn_norm.weight",
        "v.blk.0.ln2.weight",
        &[EYE],
        Ones,
    );
    for part in ["attn_q", "attn_k"] {
        rotated(eyes, &format!("v.blk.0.{part}.weight"));
    }
    eyes.same("v.blk.0.attn_v.weight", &[EYE, EYE], Fill::Random);
    for (ollama, ours, dims) in [
        ("v.blk.0.attn_output", "v.blk.0.attn_out", [EYE, EYE]),
        (
            "v.blk.0.ffn_gate",
            "v.blk.0.ffn_gate",
            [EYE, EYE_FEED_FORWARD],
        ),
        ("v.blk.0.ffn_up", "v.blk.0.ffn_up", [EYE, EYE_FEED_FORWARD]),
        (
            "v.blk.0.ffn_down",
            "v.blk.0.ffn_down",
            [EYE_FEED_FORWARD, EYE],
        ),
        ("mm.linear_1", "mm.1", [EYE, WIDTH]),
        ("mm.linear_2", "mm.2", [WIDTH, WIDTH]),
        (
            "mm.patch_merger.merging_layer",
            "mm.patch_merger",
            [4 * EYE, EYE],
        ),
    ] {
        let end = |name: &str| format!("{name}.weight");
        eyes.named(&end(ollama), &end(ours), &dims, Fill::Random);
    }
    eyes.named("mm.norm.weight", "mm.input_norm.weight", &[EYE], Ones);
}

/// Ollama's rows of a head are its first half and then its second; llama.cpp's are one of each in turn.
fn rotated(eyes: &mut Twins, name: &str) {
    let dims = [EYE, EYE];
    let values = eyes.halves(&dims);
    let rows: Vec<&[f32]> = values.chunks_exact(EYE as usize).collect();
    let mut turned = Vec::new();
    for head in rows.chunks_exact((EYE / u64::from(EYE_HEADS)) as usize) {
        let (first, second) = head.split_at(head.len() / 2);
        for (one, other) in first.iter().zip(second) {
            turned.extend_from_slice(one);
            turned.extend_from_slice(other);
        }
    }
    eyes.ollama.push(halved(name, &dims, &values));
    eyes.ours.push(halved(name, &dims, &turned));
}
