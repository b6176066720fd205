//! Common parts of the tiny models.

use super::twins::{Fill, Ones, Twins, Zeros};
use crate::{Value, Writer, tiny};

pub(super) const WIDTH: u64 = 64;
pub(super) const HEADS: u32 = 4;
pub(super) const KV_HEADS: u32 = 2;
pub(super) const HEAD: u64 = 16;
/// Width of all keys of a token.
pub(super) const KV: u64 = HEAD * KV_HEADS as u64;
pub(super) const FEED_FORWARD: u64 = 128;
pub(super) const LAYERS: u32 = 2;

/// Width of the vision parts.
pub(super) const VISION_WIDTH: u64 = 32;
pub(super) const VISION_HEADS: u32 = 2;
pub(super) const VISION_FEED_FORWARD: u64 = 64;
pub(super) const PATCH: u64 = 8;
/// The side of an image, in patches.
pub(super) const SIDE: u64 = 8;

/// The keys of every weights file.
pub(super) fn model(architecture: &str) -> Writer {
    let key = |rest: &str| format!("{architecture}.{rest}");
    let mut writer = Writer::new()
        .kv("general.architecture", architecture)
        .kv("general.type", "model")
        .kv("general.name", "tiny")
        .kv("general.file_type", 0_u32);
    for (rest, value) in [
        ("block_count", LAYERS),
        ("context_length", 2048),
        ("embedding_length", WIDTH as u32),
        ("feed_forward_length", FEED_FORWARD as u32),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KV_HEADS),
        ("attention.key_length", HEAD as u32),
        ("attention.value_length", HEAD as u32),
        ("rope.dimension_count", HEAD as u32),
    ] {
        writer = writer.kv(&key(rest), value);
    }
    writer
        .kv(&key("attention.layer_norm_rms_epsilon"), 1e-6_f32)
        .kv(&key("rope.freq_base"), 1e6_f32)
}

/// The vocabulary, with `more` unused tokens at its end.
pub(super) fn with_vocabulary(writer: Writer, more: usize) -> Writer {
    tiny::with_vocabulary(writer, more)
}

/// Embeddings, equal in both files.
pub(super) fn embeddings(twins: &mut Twins) {
    let dims = [WIDTH, tiny::size()];
    let count = dims.iter().product();
    // As large as the output of the layers, so that the last token influences the next one.
    let values = twins.random.values(count, 1);
    for file in [&mut twins.ollama, &mut twins.ours] {
        file.push(crate::Tensor::f32("token_embd.weight", &dims, &values));
    }
}

/// Attention without its output.
pub(super) fn attention(twins: &mut Twins, prefix: &str) {
    twins.norms(prefix, &[("attn_norm", WIDTH)]);
    twins.matrices(
        prefix,
        &[
            ("attn_q", &[WIDTH, WIDTH]),
            ("attn_k", &[WIDTH, KV]),
            ("attn_v", &[WIDTH, KV]),
        ],
    );
}

pub(super) fn feed_forward(twins: &mut Twins, prefix: &str) {
    twins.matrices(
        prefix,
        &[
            ("ffn_gate", &[WIDTH, FEED_FORWARD]),
            ("ffn_up", &[WIDTH, FEED_FORWARD]),
            ("ffn_down", &[FEED_FORWARD, WIDTH]),
        ],
    );
}

/// `count` layers of a plain transformer, between embeddings and the last norm. `more` adds the tensors of a family.
pub(super) fn layers(twins: &mut Twins, count: u32, more: impl Fn(&mut Twins, &str)) {
    embeddings(twins);
    for layer in 0..count {
        let prefix = format!("blk.{layer}.");
        attention(twins, &prefix);
        twins.matrices(&prefix, &[("attn_output", &[WIDTH, WIDTH])]);
        twins.norms(&prefix, &[("ffn_norm", WIDTH)]);
        feed_forward(twins, &prefix);
        more(twins, &prefix);
    }
    twins.norms("", &[("output_norm", WIDTH)]);
}

/// The hyperparameters of a vision part under a prefix, for both files.
pub(super) fn vision_keys(writer: Writer, prefix: &str, blocks: u32) -> Writer {
    let key = |rest: &str| format!("{prefix}.{rest}");
    writer
        .kv(&key("block_count"), blocks)
        .kv(&key("embedding_length"), VISION_WIDTH as u32)
        .kv(&key("attention.head_count"), VISION_HEADS)
        .kv(&key("patch_size"), PATCH as u32)
}

/// The keys of every projector.
pub(super) fn projector(
    kind: &str,
    activation: Option<&str>,
    colors: ([f32; 3], [f32; 3]),
) -> Writer {
    let writer = Writer::new()
        .kv("general.architecture", "clip")
        .kv("general.type", "mmproj")
        .kv("general.name", "tiny")
        .kv("general.file_type", 0_u32)
        .kv("clip.has_vision_encoder", true)
        .kv("clip.projector_type", kind)
        .kv("clip.vision.projection_dim", WIDTH as u32)
        .kv("clip.vision.image_mean", Value::from(colors.0.to_vec()))
        .kv("clip.vision.image_std", Value::from(colors.1.to_vec()));
    match activation {
        Some(activation) => writer.kv(&format!("clip.{activation}"), true),
        None => writer,
    }
}

pub(super) const HALVES: ([f32; 3], [f32; 3]) = ([0.5; 3], [0.5; 3]);
pub(super) const CLIP: ([f32; 3], [f32; 3]) = (
    [0.481_454_66, 0.457_827_5, 0.408_210_73],
    [0.268_629_54, 0.261_302_6, 0.275_777_1],
);

/// A linear map with a bias under two names.
pub(super) fn linear(twins: &mut Twins, ollama: &str, ours: &str, dims: [u64; 2]) {
    let end = |name: &str, end: &str| format!("{name}.{end}");
    twins.named(
        &end(ollama, "weight"),
        &end(ours, "weight"),
        &dims,
        Fill::Random,
    );
    twins.named(&end(ollama, "bias"), &end(ours, "bias"), &dims[1..], Zeros);
}

/// A norm with a bias under two names.
pub(super) fn norm(twins: &mut Twins, ollama: &str, ours: &str, width: u64) {
    let end = |name: &str, end: &str| format!("{name}.{end}");
    twins.named(&end(ollama, "weight"), &end(ours, "weight"), &[width], Ones);
    twins.named(&end(ollama, "bias"), &end(ours, "bias"), &[width], Zeros);
}
