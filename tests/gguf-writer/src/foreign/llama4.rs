//! Llama 4: its vision part, and a few tensors of the rest.

use super::Pair;
use super::dense::{
    HALVES, PATCH, SIDE, VISION_FEED_FORWARD, VISION_WIDTH, WIDTH, linear, model, norm, projector,
    vision_keys, with_vocabulary,
};
use super::twins::{Fill, Twins, with};
use crate::Writer;

pub(super) fn llama4(seed: u64) -> Pair {
    let base = with_vocabulary(model("llama4"), 0);
    let mut twins = Twins::new(seed);
    twins.matrices("", &[("token_embd", &[WIDTH, WIDTH])]);
    let mut vision = Twins::new(seed + 1);
    vision.named(
        "v.class_embedding",
        "v.class_embd",
        &[VISION_WIDTH],
        Fill::Random,
    );
    vision.widened(
        "v.positional_embedding_vlm",
        "v.position_embd.weight",
        &[VISION_WIDTH, SIDE * SIDE + 1],
    );
    vision.widened(
        "v.patch_embedding.weight",
        "v.patch_embd.weight",
        &[PATCH * PATCH * 3, VISION_WIDTH],
    );
    norm(&mut vision, "v.layernorm_pre", "v.pre_ln", VISION_WIDTH);
    norm(&mut vision, "v.layernorm_post", "v.post_ln", VISION_WIDTH);
    norm(
        &mut vision,
        "v.blk.0.attn_norm",
        "v.blk.0.ln1",
        VISION_WIDTH,
    );
    norm(&mut vision, "v.blk.0.ffn_norm", "v.blk.0.ln2", VISION_WIDTH);
    linear(
        &mut vision,
        "v.blk.0.attn_output",
        "v.blk.0.attn_out",
        [VISION_WIDTH, VISION_WIDTH],
    );
    linear(
        &mut vision,
        "v.blk.0.mlp.fc1",
        "v.blk.0.ffn_up",
        [VISION_WIDTH, VISION_FEED_FORWARD],
    );
    linear(
        &mut vision,
        "v.blk.0.mlp.fc2",
        "v.blk.0.ffn_down",
        [VISION_FEED_FORWARD, VISION_WIDTH],
    );
    for (ollama, ours) in [
        ("v.vision_adapter.mlp.fc1.weight", "mm.model.mlp.1.weight"),
        ("v.vision_adapter.mlp.fc2.weight", "mm.model.mlp.2.weight"),
        ("mm.linear_1.weight", "mm.model.fc.weight"),
    ] {
        vision.named(ollama, ours, &[VISION_WIDTH, VISION_WIDTH], Fill::Random);
    }
    let about_eyes = |writer: Writer, prefix: &str| {
        vision_keys(writer, prefix, 1)
            .kv(
                &format!("{prefix}.feed_forward_length"),
                VISION_FEED_FORWARD as u32,
            )
            .kv(&format!("{prefix}.image_size"), (PATCH * SIDE) as u32)
    };
    let sight = about_eyes(projector("llama4", Some("use_gelu"), HALVES), "clip.vision")
        .kv("clip.vision.projector_type", "llama4")
        .kv("clip.vision.attention.layer_norm_epsilon", 1e-5_f32)
        .kv("clip.vision.projector.scale_factor", 3_u32);
    let ollama = about_eyes(base.clone(), "llama4.vision")
        .kv("llama4.vision.layer_norm_epsilon", 1e-5_f32)
        .kv("llama4.vision.pixel_shuffle_ratio", 0.34_f32);
    let ollama = with(ollama, &twins.ollama);
    Pair {
        name: "llama4",
        ollama: with(ollama, &vision.ollama),
        weights: Some(with(base, &twins.ours)),
        projector: Some(with(sight, &vision.ours)),
        runs: false,
    }
}
