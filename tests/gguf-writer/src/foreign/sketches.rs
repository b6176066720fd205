//! Families with few differences: only the differing keys and names, and a table of embeddings.

use super::Pair;
use super::dense::{
    CLIP, HALVES, KV, LAYERS, PATCH, SIDE, VISION_FEED_FORWARD, VISION_WIDTH, WIDTH, embeddings,
    layers, model, projector, vision_keys, with_vocabulary,
};
use super::twins::{Fill, Ones, Twins, Zeros, halved, with};
use crate::{Tensor, Value, Writer, tiny, vision};

pub(super) fn all(seed: u64) -> Vec<Pair> {
    vec![
        olmo3(seed),
        lfm2(seed),
        laguna(seed),
        nemotron(seed),
        qwen3next(seed),
        gemma3n(seed),
        gemma4(seed),
        deepseekocr(seed),
        llava(seed),
        omni(seed),
        snowflake(seed),
    ]
}

/// A pair without a projector.
fn pair(name: &'static str, ollama: Writer, weights: Writer, twins: &Twins) -> Pair {
    Pair {
        name,
        ollama: with(ollama, &twins.ollama),
        weights: Some(with(weights, &twins.ours)),
        projector: None,
        runs: false,
    }
}

fn olmo3(seed: u64) -> Pair {
    let mut twins = Twins::new(seed);
    layers(&mut twins, LAYERS, |twins, prefix| {
        let norms = [
            ("post_attention_norm", WIDTH),
            ("post_ffw_norm", WIDTH),
            ("attn_q_norm", WIDTH),
            ("attn_k_norm", KV),
        ];
        twins.norms(prefix, &norms);
    });
    twins.matrices("", &[("output", &[WIDTH, tiny::size()])]);
    // These norms come after the parts that other families normalize before.
    for file in [&mut twins.ollama, &mut twins.ours] {
        file.retain(|tensor| {
            let is = |end: &str| tensor.name.ends_with(end.as_bytes());
            !is(".attn_norm.weight") && !is(".ffn_norm.weight")
        });
    }
    let base = |architecture: &str| with_vocabulary(model(architecture), 0);
    Pair {
        runs: true,
        ..pair("olmo3", base("olmo3"), base("olmo2"), &twins)
    }
}

fn lfm2(seed: u64) -> Pair {
    let mut twins = Twins::new(seed);
    embeddings(&mut twins);
    twins.matrices("", &[("blk.0.ffn_gate", &[WIDTH, 96])]);
    twins.named(
        "output_norm.weight",
        "token_embd_norm.weight",
        &[WIDTH],
        Ones,
    );
    let base = with_vocabulary(model("lfm2"), 0);
    let weights = base
        .clone()
        .replace("lfm2.feed_forward_length", 96_u32)
        .kv("tokenizer.ggml.pre", "lfm2");
    pair("lfm2", base, weights, &twins)
}

fn laguna(seed: u64) -> Pair {
    let mut twins = Twins::new(seed);
    embeddings(&mut twins);
    twins.named(
        "blk.0.attn_g.weight",
        "blk.0.attn_gate.weight",
        &[WIDTH, 4],
        Fill::Random,
    );
    let base = with_vocabulary(model("laguna"), 0);
    let weights = base
        .clone()
        .kv("laguna.rope.dimension_count_swa", 16_u32)
        .kv("laguna.rope.freq_base_swa", 1e4_f32);
    let ollama = base
        .kv("laguna.rope.swa.dimension_count", 16_u32)
        .kv("laguna.rope.swa.freq_base", 1e4_f32);
    pair("laguna", ollama, weights, &twins)
}

fn nemotron(seed: u64) -> Pair {
    let mut twins = Twins::new(seed);
    embeddings(&mut twins);
    for (ollama, ours, dims) in [
        (
            "blk.1.ffn_latent_in.weight",
            "blk.1.ffn_latent_down.weight",
            [WIDTH, 32],
        ),
        (
            "blk.1.ffn_latent_out.weight",
            "blk.1.ffn_latent_up.weight",
            [32, WIDTH],
        ),
    ] {
        twins.named(ollama, ours, &dims, Fill::Random);
    }
    twins
        .ollama
        .push(Tensor::f32("mtp.norm.weight", &[1], &[1.0]));
    let base = with_vocabulary(model("nemotron_h_moe"), 0);
    let weights = base.clone().kv("nemotron_h_moe.moe_latent_size", 32_u32);
    pair("nemotron_h_moe", base, weights, &twins)
}

fn qwen3next(seed: u64) -> Pair {
    let mut twins = Twins::new(seed);
    embeddings(&mut twins);
    twins.named("blk.0.ssm_dt", "blk.0.ssm_dt.bias", &[4], Zeros);
    let base = with_vocabulary(model("qwen3next"), 0);
    let ollama = base.clone().replace(
        "qwen3next.attention.head_count_kv",
        Value::from(vec![0_u32, 2]),
    );
    pair("qwen3next", ollama, base, &twins)
}

fn gemma3n(seed: u64) -> Pair {
    const MORE: u64 = 5;
    let size = tiny::size();
    let mut twins = Twins::new(seed);
    let table = twins.values(&[WIDTH, size + MORE], Fill::Random);
    let cut = &table[..(WIDTH * size) as usize];
    let name = "token_embd.weight";
    twins
        .ollama
        .push(Tensor::f32(name, &[WIDTH, size + MORE], &table));
    twins.ours.push(Tensor::f32(name, &[WIDTH, size], cut));
    twins.matrices("", &[("per_layer_token_embd", &[8, size])]);
    let base = |more| with_vocabulary(model("gemma3n"), more);
    let weights = base(0).kv(
        "tokenizer.ggml.eos_token_ids",
        Value::from(vec![1_i32, 106]),
    );
    // Ollama's file has no byte tokens.
    let mut kinds = vec![1_i32; (size + MORE) as usize];
    kinds[..3].copy_from_slice(&[2, 3, 3]);
    let ollama = base(MORE as usize)
        .replace("tokenizer.ggml.model", "gpt2")
        .replace("tokenizer.ggml.token_type", kinds);
    pair("gemma3n", ollama, weights, &twins)
}

fn gemma4(seed: u64) -> Pair {
    let mut twins = Twins::new(seed);
    embeddings(&mut twins);
    for part in ["ffn_gate_exps", "ffn_up_exps"] {
        twins.matrices("blk.0.", &[(part, &[WIDTH, 32, 4])]);
    }
    twins.named(
        "blk.0.ffn_gate_inp.per_expert_scale",
        "blk.0.ffn_down_exps.scale",
        &[4],
        Ones,
    );
    twins
        .ollama
        .push(Tensor::f32("model.vision_tower.std", &[1], &[1.0]));
    let base = with_vocabulary(model("gemma4"), 0);
    let weights = base.clone().replace("tokenizer.ggml.model", "gemma4");

    let mut vision = Twins::new(seed + 1);
    let patches = "v.patch_embd.weight";
    vision.widened(patches, patches, &[PATCH, PATCH, 3, VISION_WIDTH]);
    vision.norms(
        "",
        &[("v.blk.0.ln1", VISION_WIDTH), ("v.blk.0.ln2", VISION_WIDTH)],
    );
    vision.matrices("", &[("mm.input_projection", &[VISION_WIDTH, WIDTH])]);
    for (ollama, ours) in [
        ("a.pre_encode.out.weight", "a.input_projection.weight"),
        ("mm.a.fc.weight", "a.pre_encode.out.weight"),
        ("a.blk.0.ln1.weight", "a.blk.0.attn_pre_norm.weight"),
        ("a.blk.0.ln2.weight", "a.blk.0.attn_post_norm.weight"),
        ("a.blk.0.layer_pre_norm.weight", "a.blk.0.ln2.weight"),
        ("a.blk.0.linear_pos.weight", "a.blk.0.attn_k_rel.weight"),
    ] {
        vision.named(ollama, ours, &[VISION_WIDTH, VISION_WIDTH], Fill::Random);
    }
    let about_eyes = |writer: Writer, prefix: &str| {
        let writer = vision_keys(writer, &format!("{prefix}.vision"), 1);
        let writer = vision_keys(writer, &format!("{prefix}.audio"), 1);
        ["vision", "audio"]
            .into_iter()
            .fold(writer, |writer, part| {
                writer
                    .kv(
                        &format!("{prefix}.{part}.feed_forward_length"),
                        VISION_FEED_FORWARD as u32,
                    )
                    .kv(
                        &format!("{prefix}.{part}.attention.layer_norm_epsilon"),
                        1e-6_f32,
                    )
            })
    };
    let sight = about_eyes(projector("", None, ([0.0; 3], [1.0; 3])), "clip")
        .without("clip.projector_type")
        .without("clip.audio.patch_size")
        .kv("clip.vision.projector_type", "gemma4v")
        .kv("clip.vision.image_size", 224_u32)
        .kv("clip.has_audio_encoder", true)
        .kv("clip.audio.projector_type", "gemma4a")
        .kv("clip.audio.num_mel_bins", 128_u32)
        .kv("clip.audio.projection_dim", WIDTH as u32);
    let ollama = with(about_eyes(base, "gemma4"), &vision.ollama);
    Pair {
        projector: Some(with(sight, &vision.ours)),
        ..pair("gemma4", ollama, weights, &twins)
    }
}

fn deepseekocr(seed: u64) -> Pair {
    let mut twins = Twins::new(seed);
    embeddings(&mut twins);
    twins.matrices(
        "blk.1.",
        &[
            ("ffn_down_exps", &[32, WIDTH, 4]),
            ("ffn_down_shexp", &[64, WIDTH]),
        ],
    );
    let base = |architecture: &str| {
        let key = |rest: &str| format!("{architecture}.{rest}");
        with_vocabulary(model(architecture), 0)
            .kv(&key("expert_count"), 4_u32)
            .kv(&key("expert_used_count"), 2_u32)
    };
    let weights = base("deepseek2-ocr")
        .kv("deepseek2-ocr.expert_feed_forward_length", 32_u32)
        .kv("deepseek2-ocr.expert_shared_count", 2_u32);

    let mut vision = Twins::new(seed + 1);
    vision.widened(
        "v.patch_embd.weight",
        "v.patch_embd.weight",
        &[PATCH, PATCH, 3, VISION_WIDTH],
    );
    vision.widened(
        "s.patch_embd.weight",
        "v.sam.patch_embd.weight",
        &[PATCH, PATCH, 3, VISION_WIDTH],
    );
    for (ollama, ours) in [
        ("s.position_embd", "v.sam.pos_embd.weight"),
        ("s.blk.0.attn.proj.weight", "v.sam.blk.0.attn.out.weight"),
        ("s.blk.0.attn.rel_pos_h", "v.sam.blk.0.attn.pos_h.weight"),
        ("s.blk.0.attn.rel_pos_w", "v.sam.blk.0.attn.pos_w.weight"),
        ("s.blk.0.norm1.weight", "v.sam.blk.0.pre_ln.weight"),
        ("s.blk.0.norm2.weight", "v.sam.blk.0.post_ln.weight"),
        ("v.pre_layrnorm.weight", "v.pre_ln.weight"),
        (
            "v.blk.0.self_attn.qkv_proj.weight",
            "v.blk.0.attn_qkv.weight",
        ),
        (
            "v.blk.0.self_attn.out_proj.weight",
            "v.blk.0.attn_out.weight",
        ),
        ("v.blk.0.layer_norm1.weight", "v.blk.0.ln1.weight"),
        ("v.blk.0.layer_norm2.weight", "v.blk.0.ln2.weight"),
        ("v.blk.0.mlp.fc1.weight", "v.blk.0.ffn_up.weight"),
        ("v.blk.0.mlp.fc2.weight", "v.blk.0.ffn_down.weight"),
        ("mm.layers.weight", "mm.model.fc.weight"),
        ("mm.image_newline", "v.image_newline"),
        ("mm.view_seperator", "v.view_seperator"),
    ] {
        vision.named(ollama, ours, &[VISION_WIDTH, VISION_WIDTH], Fill::Random);
    }
    let numbers = |writer: Writer, prefix: &str, parts: &[(&str, u32)]| {
        parts.iter().fold(writer, |writer, (part, value)| {
            writer.kv(&format!("{prefix}.{part}"), *value)
        })
    };
    let both = [
        ("vision.block_count", 1),
        ("vision.embedding_length", VISION_WIDTH as u32),
        ("vision.image_size", (PATCH * SIDE) as u32),
        ("vision.patch_size", PATCH as u32),
    ];
    let sight = numbers(
        projector("deepseekocr", Some("use_gelu"), HALVES),
        "clip",
        &both,
    )
    .replace("clip.vision.projection_dim", 1280_u32)
    .kv("clip.vision.attention.layer_norm_epsilon", 1e-6_f32);
    let sight = numbers(
        sight,
        "clip.vision",
        &[
            ("attention.head_count", 2),
            ("sam.block_count", 1),
            ("sam.embedding_length", VISION_WIDTH as u32),
            ("sam.head_count", 4),
            ("feed_forward_length", 64),
            ("projector.scale_factor", 1),
            ("window_size", 14),
        ],
    );
    let ollama = numbers(
        numbers(base("deepseekocr"), "deepseekocr", &both),
        "deepseekocr",
        &[
            ("vision.head_count", 2),
            ("sam.block_count", 1),
            ("sam.embedding_length", VISION_WIDTH as u32),
            ("sam.head_count", 4),
        ],
    );
    let ollama = ollama.without("deepseekocr.attention.layer_norm_rms_epsilon");
    Pair {
        projector: Some(with(sight, &vision.ours)),
        ..pair("deepseekocr", with(ollama, &vision.ollama), weights, &twins)
    }
}

fn llava(seed: u64) -> Pair {
    let whole = vision::writer(seed, vision::Kind::Causal);
    Pair {
        name: "llava",
        ollama: whole.clone().without("clip.projector_type"),
        weights: None,
        projector: Some(whole.replace("clip.projector_type", "mlp")),
        runs: false,
    }
}

fn omni(seed: u64) -> Pair {
    let base = |architecture: &str| with_vocabulary(model(architecture), 0);
    let mut twins = Twins::new(seed);
    embeddings(&mut twins);
    twins.ollama.push(Tensor::f32("a.x", &[1], &[1.0]));
    let mut vision = Twins::new(seed + 1);
    vision.widened("v.cls_embd", "v.class_embd", &[VISION_WIDTH]);
    let values = vision.halves(&[PATCH * PATCH * 3, VISION_WIDTH]);
    let name = "v.patch_embd.weight";
    vision
        .ollama
        .push(halved(name, &[PATCH * PATCH * 3, VISION_WIDTH], &values));
    vision
        .ours
        .push(Tensor::f32(name, &[PATCH, PATCH, 3, VISION_WIDTH], &values));
    // Two positions of a side become three: the middle one is the mean of its neighbours.
    let corners = vision.halves(&[VISION_WIDTH, 4]);
    vision
        .ollama
        .push(Tensor::f32("v.position_embd", &[VISION_WIDTH, 4], &corners));
    let corner =
        |x: usize, y: usize, value: usize| corners[(2 * y + x) * VISION_WIDTH as usize + value];
    let mut places = Vec::new();
    for (y0, y1) in [(0, 0), (0, 1), (1, 1)] {
        for (x0, x1) in [(0, 0), (0, 1), (1, 1)] {
            places.extend((0..VISION_WIDTH as usize).map(|value| {
                let mean = |y| (corner(x0, y, value) + corner(x1, y, value)) / 2.0;
                (mean(y0) + mean(y1)) / 2.0
            }));
        }
    }
    vision.ours.push(Tensor::f32(
        "v.position_embd.weight",
        &[VISION_WIDTH, 9],
        &places,
    ));
    for (ollama, ours) in [
        ("mm.norm.weight", "mm.model.mlp.0.weight"),
        ("mm.1.weight", "mm.model.mlp.1.weight"),
        ("mm.2.weight", "mm.model.mlp.3.weight"),
    ] {
        vision.named(ollama, ours, &[VISION_WIDTH, VISION_WIDTH], Fill::Random);
    }
    vision.ollama.push(Tensor::f32("mm.a.x", &[1], &[1.0]));
    let about_eyes = |writer: Writer, prefix: &str| {
        vision_keys(writer, prefix, 1).kv(&format!("{prefix}.image_size"), 3 * PATCH as u32)
    };
    let sight = about_eyes(projector("", Some("use_gelu"), CLIP), "clip.vision")
        .without("clip.projector_type")
        .kv("clip.vision.projector_type", "nemotron_v2_vl")
        .kv("clip.has_audio_encoder", false)
        .kv("clip.vision.num_channels", 3_u32)
        .kv("clip.vision.projector.scale_factor", 2_u32)
        .kv("clip.vision.feed_forward_length", 4 * VISION_WIDTH as u32)
        .kv("clip.vision.attention.layer_norm_epsilon", 1e-6_f32);
    let ollama = about_eyes(base("nemotron_h_omni"), "nemotron_h_omni.vision")
        .kv("nemotron_h_omni.audio.block_count", 1_u32);
    let ollama = with(ollama, &vision.ollama);
    Pair {
        projector: Some(with(sight, &vision.ours)),
        ..pair("nemotron_h_omni", ollama, base("nemotron_h"), &twins)
    }
}

fn snowflake(seed: u64) -> Pair {
    const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";
    let mut twins = Twins::new(seed);
    embeddings(&mut twins);
    let base = with_vocabulary(model("bert"), 0).replace("tokenizer.ggml.model", "t5");
    let weights = base.clone().kv(CHARSMAP, b"hello".to_vec());
    let texts: Vec<_> = "aGVsbG8=".chars().map(String::from).collect();
    let ollama = base.kv(CHARSMAP, texts);
    pair("snowflake", ollama, weights, &twins)
}
