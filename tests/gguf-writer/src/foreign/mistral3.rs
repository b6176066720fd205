//! Mistral Small 3.1.

use super::Pair;
use super::dense::{
    CLIP, LAYERS, PATCH, SIDE, VISION_FEED_FORWARD, VISION_HEADS, VISION_WIDTH, WIDTH, layers,
    model, projector, vision_keys, with_vocabulary,
};
use super::twins::{Fill, Ones, Twins, halved, with};
use crate::{Tensor, Writer};

pub(super) fn mistral3(seed: u64) -> Pair {
    let base = with_vocabulary(model("mistral3"), 0)
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

    let mut vision = Twins::new(seed + 1);
    vision_tensors(&mut vision);
    // The token at the end of a row of an image is the thirteenth.
    let table = &twins.ours[0];
    let row = table.data[12 * 4 * WIDTH as usize..][..4 * WIDTH as usize].to_vec();
    vision.ours.push(Tensor::new(
        "v.token_embd.img_break",
        &[WIDTH],
        crate::TensorType::F32,
        row,
    ));
    let about_eyes = |writer: Writer, prefix: &str| {
        vision_keys(writer, prefix, 1)
            .kv(
                &format!("{prefix}.feed_forward_length"),
                VISION_FEED_FORWARD as u32,
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
        ollama: with(ollama, &vision.ollama),
        weights: Some(with(weights, &twins.ours)),
        projector: Some(with(sight, &vision.ours)),
        runs: true,
    }
}

fn vision_tensors(vision: &mut Twins) {
    vision.widened(
        "v.patch_conv.weight",
        "v.patch_embd.weight",
        &[PATCH, PATCH, 3, VISION_WIDTH],
    );
    vision.named(
        "v.encoder_norm.weight",
        "v.pre_ln.weight",
        &[VISION_WIDTH],
        Ones,
    );
    vision.named(
        "v.blk.0.attn_norm.weight",
        "v.blk.0.ln1.weight",
        &[VISION_WIDTH],
        Ones,
    );
    vision.named(
        "v.blk.0.ffn_norm.weight",
        "v.blk.0.ln2.weight",
        &[VISION_WIDTH],
        Ones,
    );
    for part in ["attn_q", "attn_k"] {
        rotated(vision, &format!("v.blk.0.{part}.weight"));
    }
    vision.same(
        "v.blk.0.attn_v.weight",
        &[VISION_WIDTH, VISION_WIDTH],
        Fill::Random,
    );
    for (ollama, ours, dims) in [
        (
            "v.blk.0.attn_output",
            "v.blk.0.attn_out",
            [VISION_WIDTH, VISION_WIDTH],
        ),
        (
            "v.blk.0.ffn_gate",
            "v.blk.0.ffn_gate",
            [VISION_WIDTH, VISION_FEED_FORWARD],
        ),
        (
            "v.blk.0.ffn_up",
            "v.blk.0.ffn_up",
            [VISION_WIDTH, VISION_FEED_FORWARD],
        ),
        (
            "v.blk.0.ffn_down",
            "v.blk.0.ffn_down",
            [VISION_FEED_FORWARD, VISION_WIDTH],
        ),
        ("mm.linear_1", "mm.1", [VISION_WIDTH, WIDTH]),
        ("mm.linear_2", "mm.2", [WIDTH, WIDTH]),
        (
            "mm.patch_merger.merging_layer",
            "mm.patch_merger",
            [4 * VISION_WIDTH, VISION_WIDTH],
        ),
    ] {
        let end = |name: &str| format!("{name}.weight");
        vision.named(&end(ollama), &end(ours), &dims, Fill::Random);
    }
    vision.named(
        "mm.norm.weight",
        "mm.input_norm.weight",
        &[VISION_WIDTH],
        Ones,
    );
}

/// Ollama stores the rows of a head as first half and second half; llama.cpp interleaves them.
fn rotated(vision: &mut Twins, name: &str) {
    let dims = [VISION_WIDTH, VISION_WIDTH];
    let values = vision.halves(&dims);
    let rows: Vec<&[f32]> = values.chunks_exact(VISION_WIDTH as usize).collect();
    let mut turned = Vec::new();
    for head in rows.chunks_exact((VISION_WIDTH / u64::from(VISION_HEADS)) as usize) {
        let (first, second) = head.split_at(head.len() / 2);
        for (one, other) in first.iter().zip(second) {
            turned.extend_from_slice(one);
            turned.extend_from_slice(other);
        }
    }
    vision.ollama.push(halved(name, &dims, &values));
    vision.ours.push(halved(name, &dims, &turned));
}
