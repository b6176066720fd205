//! Qwen2.5-VL, Qwen3-VL and Qwen3.5.

use super::Pair;
use super::dense::{
    CLIP, HALVES, HEADS, KV, KV_HEADS, LAYERS, PATCH, SIDE, VISION_FEED_FORWARD, VISION_WIDTH,
    WIDTH, embeddings, feed_forward, layers, linear, model, norm, projector, vision_keys,
    with_vocabulary,
};
use super::twins::{Fill, Ones, Twins, Zeros, halved, with};
use crate::{Tensor, TensorType, Value, Writer};

/// Width between the two linear maps of a merger, of four patches.
const MERGED: u64 = 4 * VISION_WIDTH;

pub(super) fn qwen25vl(seed: u64) -> Pair {
    let mut twins = Twins::new(seed);
    layers(&mut twins, LAYERS, |twins, prefix| {
        for (part, width) in [("attn_q", WIDTH), ("attn_k", KV), ("attn_v", KV)] {
            twins.same(&format!("{prefix}{part}.bias"), &[width], Zeros);
        }
    });
    let weights = with_vocabulary(model("qwen2vl"), 0).kv(
        "qwen2vl.rope.dimension_sections",
        Value::from(vec![2_i32, 3, 3, 0]),
    );
    let ollama = with_vocabulary(model("qwen25vl"), 0).kv(
        "qwen25vl.rope.mrope_section",
        Value::from(vec![2_i32, 3, 3]),
    );

    let mut vision = Twins::new(seed + 1);
    for (ollama, ours) in [
        ("v.patch_embd_0.weight", "v.patch_embd.weight"),
        ("v.patch_embd_1.weight", "v.patch_embd.weight.1"),
    ] {
        vision.widened(ollama, ours, &[PATCH, PATCH, 3, VISION_WIDTH]);
    }
    for block in 0..2 {
        let same = |vision: &mut Twins, part: &str, dims| {
            let name = format!("v.blk.{block}.{part}");
            linear(vision, &name, &name, dims);
        };
        for part in ["attn_q", "attn_k", "attn_v", "attn_out"] {
            same(&mut vision, part, [VISION_WIDTH, VISION_WIDTH]);
        }
        same(&mut vision, "ffn_gate", [VISION_WIDTH, VISION_FEED_FORWARD]);
        same(&mut vision, "ffn_up", [VISION_WIDTH, VISION_FEED_FORWARD]);
        same(&mut vision, "ffn_down", [VISION_FEED_FORWARD, VISION_WIDTH]);
        vision.norms(
            &format!("v.blk.{block}."),
            &[("ln1", VISION_WIDTH), ("ln2", VISION_WIDTH)],
        );
    }
    vision.named(
        "v.merger.ln_q.weight",
        "v.post_ln.weight",
        &[VISION_WIDTH],
        Ones,
    );
    linear(&mut vision, "v.merger.mlp.0", "mm.0", [MERGED, MERGED]);
    linear(&mut vision, "v.merger.mlp.2", "mm.2", [MERGED, WIDTH]);
    let about_eyes = |writer: Writer, prefix: &str| {
        vision_keys(writer, prefix, 2)
            .kv(&format!("{prefix}.attention.layer_norm_epsilon"), 1e-6_f32)
            .kv(&format!("{prefix}.num_channels"), 3_u32)
            .kv(&format!("{prefix}.spatial_merge_size"), 2_u32)
            .kv(&format!("{prefix}.window_size"), 32_u32)
    };
    let sight = about_eyes(
        projector("qwen2.5vl_merger", Some("use_silu"), CLIP),
        "clip.vision",
    )
    .kv(
        "clip.vision.feed_forward_length",
        VISION_FEED_FORWARD as u32,
    )
    .kv("clip.vision.image_size", 560_u32)
    .kv("clip.vision.n_wa_pattern", 2_u32);
    let ollama = about_eyes(ollama, "qwen25vl.vision").kv(
        "qwen25vl.vision.fullatt_block_indexes",
        Value::from(vec![1_i32]),
    );
    let ollama = with(ollama, &twins.ollama);
    Pair {
        name: "qwen25vl",
        ollama: with(ollama, &vision.ollama),
        weights: Some(with(weights, &twins.ours)),
        projector: Some(with(sight, &vision.ours)),
        runs: true,
    }
}

pub(super) fn qwen3vl(seed: u64) -> Pair {
    // The total width of the RoPE sections, which no file states.
    const WIDE: u64 = 64;
    let mut base = with_vocabulary(model("qwen3vl"), 0);
    for key in [
        "attention.key_length",
        "attention.value_length",
        "rope.dimension_count",
    ] {
        base = base.replace(&format!("qwen3vl.{key}"), WIDE as u32);
    }
    let (heads, kv_heads) = (u64::from(HEADS) * WIDE, u64::from(KV_HEADS) * WIDE);
    let mut twins = Twins::new(seed);
    embeddings(&mut twins);
    for layer in 0..LAYERS {
        let prefix = format!("blk.{layer}.");
        let norms = [
            ("attn_norm", WIDTH),
            ("ffn_norm", WIDTH),
            ("attn_q_norm", WIDE),
            ("attn_k_norm", WIDE),
        ];
        twins.norms(&prefix, &norms);
        twins.matrices(
            &prefix,
            &[
                ("attn_q", &[WIDTH, heads]),
                ("attn_k", &[WIDTH, kv_heads]),
                ("attn_v", &[WIDTH, kv_heads]),
                ("attn_output", &[heads, WIDTH]),
            ],
        );
        feed_forward(&mut twins, &prefix);
    }
    twins.norms("", &[("output_norm", WIDTH)]);
    let weights = base
        .clone()
        .kv(
            "qwen3vl.rope.dimension_sections",
            Value::from(vec![24_i32, 20, 20, 0]),
        )
        .kv("qwen3vl.n_deepstack_layers", 1_u32);

    let mut vision = Twins::new(seed + 1);
    patches(&mut vision);
    for block in 0..2 {
        qwen3_block(&mut vision, block, true);
    }
    merger(&mut vision);
    norm(
        &mut vision,
        "v.deepstack_merger.0.norm",
        "v.deepstack.1.norm",
        MERGED,
    );
    linear(
        &mut vision,
        "v.deepstack_merger.0.linear_fc1",
        "v.deepstack.1.fc1",
        [MERGED, MERGED],
    );
    linear(
        &mut vision,
        "v.deepstack_merger.0.linear_fc2",
        "v.deepstack.1.fc2",
        [MERGED, WIDTH],
    );
    let about_eyes = |writer: Writer, prefix: &str| {
        vision_keys(writer, prefix, 2)
            .kv(&format!("{prefix}.attention.layer_norm_epsilon"), 1e-6_f32)
            .kv(&format!("{prefix}.spatial_merge_size"), 2_u32)
    };
    let sight = about_eyes(
        projector("qwen3vl_merger", Some("use_gelu"), HALVES),
        "clip.vision",
    )
    .kv("clip.vision.num_channels", 3_u32)
    .kv("clip.vision.temporal_patch_size", 2_u32)
    .kv("clip.vision.rope.freq_base", 1e4_f32)
    .kv(
        "clip.vision.feed_forward_length",
        VISION_FEED_FORWARD as u32,
    )
    .kv("clip.vision.image_size", (PATCH * SIDE) as u32)
    .kv("clip.vision.image_min_pixels", 4096_u32)
    .kv("clip.vision.image_max_pixels", 16_777_216_u32)
    .kv("clip.vision.is_deepstack_layers", vec![false, true]);
    let ollama = about_eyes(base, "qwen3vl.vision")
        .kv("qwen3vl.vision.shortest_edge", 4096_u32)
        .kv(
            "qwen3vl.vision.deepstack_visual_indexes",
            Value::from(vec![1_i32]),
        );
    let ollama = with(ollama, &twins.ollama);
    Pair {
        name: "qwen3vl",
        ollama: with(ollama, &vision.ollama),
        weights: Some(with(weights, &twins.ours)),
        projector: Some(with(sight, &vision.ours)),
        runs: true,
    }
}

pub(super) fn qwen35(seed: u64) -> Pair {
    let base = with_vocabulary(model("qwen35"), 0);
    let mut twins = Twins::new(seed);
    twins.named("blk.0.ssm_dt", "blk.0.ssm_dt.bias", &[4], Zeros);
    twins.matrices("", &[("token_embd", &[WIDTH, WIDTH])]);
    twins.norms("", &[("output_norm", WIDTH)]);
    twins
        .ollama
        .push(Tensor::f32("mtp.norm.weight", &[1], &[1.0]));
    let sections = |numbers: Vec<i32>| Value::from(numbers);
    let weights = base
        .clone()
        .kv("qwen35.rope.dimension_sections", sections(vec![2, 3, 3, 0]));
    let ollama = base
        .replace(
            "qwen35.attention.head_count_kv",
            Value::from(vec![0_u32, 2]),
        )
        .kv("qwen35.rope.dimension_sections", sections(vec![2, 3, 3]))
        .kv("qwen35.rope.mrope_interleaved", true)
        .kv("qwen35.image_token_id", 3_u32);

    let mut vision = Twins::new(seed + 1);
    patches(&mut vision);
    qwen3_block(&mut vision, 0, false);
    merger(&mut vision);
    let about_eyes = |writer: Writer, prefix: &str| {
        vision_keys(writer, prefix, 1)
            .kv(&format!("{prefix}.spatial_merge_size"), 2_u32)
            .kv(&format!("{prefix}.num_channels"), 3_u32)
    };
    let sight = about_eyes(
        projector("qwen3vl_merger", Some("use_gelu"), HALVES),
        "clip.vision",
    )
    .kv(
        "clip.vision.feed_forward_length",
        VISION_FEED_FORWARD as u32,
    )
    .kv("clip.vision.image_size", 768_u32)
    .kv("clip.vision.attention.layer_norm_epsilon", 1e-6_f32)
    .kv("clip.vision.is_deepstack_layers", vec![false]);
    let ollama = with(about_eyes(ollama, "qwen35.vision"), &twins.ollama);
    Pair {
        name: "qwen35",
        ollama: with(ollama, &vision.ollama),
        weights: Some(with(weights, &twins.ours)),
        projector: Some(with(sight, &vision.ours)),
        runs: false,
    }
}

/// Patches of two frames: Ollama's file has them in one tensor, with both frames of a colour side by side.
fn patches(vision: &mut Twins) {
    const PLANE: usize = (PATCH * PATCH) as usize;
    let values = vision.halves(&[PATCH, PATCH, 2, 3 * VISION_WIDTH]);
    let packed = [PATCH, PATCH, 2, 3 * VISION_WIDTH];
    vision
        .ollama
        .push(halved("v.patch_embed.weight", &packed, &values));
    for (time, name) in ["v.patch_embd.weight", "v.patch_embd.weight.1"]
        .into_iter()
        .enumerate()
    {
        let planes = values.chunks_exact(PLANE).skip(time).step_by(2);
        let half: Vec<f32> = planes.flatten().copied().collect();
        vision
            .ours
            .push(Tensor::f32(name, &[PATCH, PATCH, 3, VISION_WIDTH], &half));
    }
    vision.named(
        "v.patch_embed.bias",
        "v.patch_embd.bias",
        &[VISION_WIDTH],
        Zeros,
    );
    vision.widened(
        "v.pos_embed.weight",
        "v.position_embd.weight",
        &[VISION_WIDTH, SIDE * SIDE],
    );
}

/// A layer whose attention is three tensors in Ollama's file. With `mixed` types, llama.cpp's file has one float tensor.
fn qwen3_block(vision: &mut Twins, block: u32, mixed: bool) {
    let name = |part: &str| format!("v.blk.{block}.{part}");
    let dims = [VISION_WIDTH, VISION_WIDTH];
    let mut joined = Vec::new();
    for part in ["attn_q", "attn_k", "attn_v"] {
        let values = vision.halves(&dims);
        let name = name(&format!("{part}.weight"));
        vision.ollama.push(match (mixed, part) {
            (true, "attn_v") => quantized(&name, &dims, &values),
            _ => halved(&name, &dims, &values),
        });
        joined.extend(values);
    }
    let (fused, all) = (name("attn_qkv.weight"), [VISION_WIDTH, 3 * VISION_WIDTH]);
    vision.ours.push(match mixed {
        true => Tensor::f32(&fused, &all, &joined),
        false => halved(&fused, &all, &joined),
    });
    let mut joined = Vec::new();
    for part in ["attn_q", "attn_k", "attn_v"] {
        let values = vision.values(&[VISION_WIDTH], Fill::Random);
        vision.ollama.push(Tensor::f32(
            &name(&format!("{part}.bias")),
            &[VISION_WIDTH],
            &values,
        ));
        joined.extend(values);
    }
    vision.ours.push(Tensor::f32(
        &name("attn_qkv.bias"),
        &[3 * VISION_WIDTH],
        &joined,
    ));
    linear(vision, &name("attn_out"), &name("attn_out"), dims);
    norm(vision, &name("norm1"), &name("ln1"), VISION_WIDTH);
    norm(vision, &name("norm2"), &name("ln2"), VISION_WIDTH);
    linear(
        vision,
        &name("mlp.linear_fc1"),
        &name("ffn_up"),
        [VISION_WIDTH, VISION_FEED_FORWARD],
    );
    linear(
        vision,
        &name("mlp.linear_fc2"),
        &name("ffn_down"),
        [VISION_FEED_FORWARD, VISION_WIDTH],
    );
}

fn merger(vision: &mut Twins) {
    norm(vision, "v.merger.norm", "v.post_ln", VISION_WIDTH);
    linear(vision, "v.merger.linear_fc1", "mm.0", [MERGED, MERGED]);
    linear(vision, "v.merger.linear_fc2", "mm.2", [MERGED, WIDTH]);
}

/// Multiples of 1/64 from -1 to 1 in `Q8_0`, without loss.
fn quantized(name: &str, dims: &[u64], values: &[f32]) -> Tensor {
    const SCALE_BITS: u16 = 0x2400;
    let bytes: Vec<u8> = values
        .iter()
        .map(|value| ((value * 64.0) as i8).cast_unsigned())
        .collect();
    let blocks = bytes.chunks_exact(32);
    let data = blocks.flat_map(|block| [&SCALE_BITS.to_le_bytes(), block].concat());
    Tensor::new(name, dims, TensorType::Q8_0, data.collect())
}
