//! Projectors with random weights for the tiny model: the embeddings are nonsense, but differ between images.
//!
//! They are small vision transformers of one layer, one for each of three kinds of prefill:
//! causal as for text, non-causal within an image, and with positions of several dimensions.
//! Names and shapes are those of llama.cpp's `tools/mtmd/clip.cpp`.

use crate::{Tensor, Value, Writer, tiny, tiny::Random};

const WIDTH: u64 = 32;
const HEADS: u32 = 2;
const FEED_FORWARD: u64 = 64;
/// Width of the tiny model, and so of the embeddings.
const MODEL: u64 = 64;
const PATCH: u64 = 8;

/// The kind of prefill of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Causal attention between the cells of an image (`janus_pro`): 16 cells.
    Causal,
    /// Non-causal attention between the cells of an image (`gemma3`): 16 cells.
    Whole,
    /// Cells have two-dimensional positions (`qwen2vl_merger`): 8 cells or more, by the size of the image. It needs [`model_with_places`].
    Places,
}

/// The bytes of a projector whose weights come from `seed`.
#[must_use]
pub fn projector(seed: u64, kind: Kind) -> Vec<u8> {
    writer(seed, kind).to_bytes()
}

/// The bytes of the tiny model with positions of several dimensions.
#[must_use]
pub fn model_with_places(seed: u64) -> Vec<u8> {
    tiny::writer_of("qwen2vl", seed)
        .kv(
            "qwen2vl.rope.dimension_sections",
            Value::from(vec![2_i32, 3, 3, 0]),
        )
        .to_bytes()
}

/// The writer of the same projector, for tests that change it.
#[must_use]
pub fn writer(seed: u64, kind: Kind) -> Writer {
    let mut random = Random::new(seed);
    let writer = describe(kind);
    let writer = patches(writer, kind, &mut random);
    let writer = block(writer, &mut random);
    let writer = writer
        .tensor(ones("v.post_ln.weight"))
        .tensor(zeros("v.post_ln.bias", WIDTH));
    output(writer, kind, &mut random)
}

fn describe(kind: Kind) -> Writer {
    let (name, size) = match kind {
        Kind::Causal => ("janus_pro", 32_u32),
        Kind::Whole => ("gemma3", 64),
        Kind::Places => ("qwen2vl_merger", 64),
    };
    Writer::new()
        .kv("general.architecture", "clip")
        .kv("general.type", "mmproj")
        .kv("general.name", "tiny eye")
        .kv("general.file_type", 0_u32)
        .kv("clip.has_vision_encoder", true)
        .kv("clip.projector_type", name)
        .kv("clip.use_gelu", true)
        .kv("clip.vision.image_size", size)
        .kv("clip.vision.patch_size", PATCH as u32)
        .kv("clip.vision.embedding_length", WIDTH as u32)
        .kv("clip.vision.feed_forward_length", FEED_FORWARD as u32)
        .kv("clip.vision.projection_dim", MODEL as u32)
        .kv("clip.vision.block_count", 1_u32)
        .kv("clip.vision.attention.head_count", HEADS)
        .kv("clip.vision.attention.layer_norm_epsilon", 1e-6_f32)
        .kv("clip.vision.projector.scale_factor", 2_u32)
        .kv("clip.vision.image_mean", Value::from(vec![0.5_f32; 3]))
        .kv("clip.vision.image_std", Value::from(vec![0.5_f32; 3]))
}

/// From pixels to patches, with their positions.
fn patches(writer: Writer, kind: Kind, random: &mut Random) -> Writer {
    let mut patch = |name: &str| {
        let values = random.values(PATCH * PATCH * 3 * WIDTH, PATCH * PATCH * 3);
        Tensor::f32(name, &[PATCH, PATCH, 3, WIDTH], &values)
    };
    let writer = writer.tensor(patch("v.patch_embd.weight"));
    let count = match kind {
        Kind::Places => return writer.tensor(patch("v.patch_embd.weight.1")),
        Kind::Causal => 16,
        Kind::Whole => 64,
    };
    writer
        .tensor(zeros("v.patch_embd.bias", WIDTH))
        .tensor(random.matrix("v.position_embd.weight", &[WIDTH, count]))
}

fn block(writer: Writer, random: &mut Random) -> Writer {
    let name = |part: &str| format!("v.blk.0.{part}");
    let mut writer = writer;
    for part in ["attn_q", "attn_k", "attn_v", "attn_out"] {
        writer = writer
            .tensor(random.matrix(&name(&format!("{part}.weight")), &[WIDTH, WIDTH]))
            .tensor(zeros(&name(&format!("{part}.bias")), WIDTH));
    }
    for part in ["ln1", "ln2"] {
        writer = writer
            .tensor(ones(&name(&format!("{part}.weight"))))
            .tensor(zeros(&name(&format!("{part}.bias")), WIDTH));
    }
    writer
        .tensor(random.matrix(&name("ffn_up.weight"), &[WIDTH, FEED_FORWARD]))
        .tensor(zeros(&name("ffn_up.bias"), FEED_FORWARD))
        .tensor(random.matrix(&name("ffn_down.weight"), &[FEED_FORWARD, WIDTH]))
        .tensor(zeros(&name("ffn_down.bias"), WIDTH))
}

/// From patches to embeddings.
fn output(writer: Writer, kind: Kind, random: &mut Random) -> Writer {
    let (layers, input) = match kind {
        Kind::Whole => {
            return writer
                .tensor(random.matrix("mm.input_projection.weight", &[MODEL, WIDTH]))
                .tensor(ones("mm.soft_emb_norm.weight"));
        }
        Kind::Causal => ([0, 1], WIDTH),
        // Four patches become one cell.
        Kind::Places => ([0, 2], 4 * WIDTH),
    };
    let [first, second] = layers;
    writer
        .tensor(random.matrix(&format!("mm.{first}.weight"), &[input, MODEL]))
        .tensor(zeros(&format!("mm.{first}.bias"), MODEL))
        .tensor(random.matrix(&format!("mm.{second}.weight"), &[MODEL, MODEL]))
        .tensor(zeros(&format!("mm.{second}.bias"), MODEL))
}

fn ones(name: &str) -> Tensor {
    Tensor::f32(name, &[WIDTH], &[1.0; WIDTH as usize])
}

fn zeros(name: &str, width: u64) -> Tensor {
    Tensor::f32(name, &[width], &vec![0.0; width as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_small_projector() {
        for kind in [Kind::Causal, Kind::Whole, Kind::Places] {
            let bytes = projector(7, kind);
            assert_eq!(bytes, projector(7, kind));
            assert_ne!(bytes, projector(8, kind));
            assert!(bytes.len() < 200_000, "{} bytes", bytes.len());
        }
    }
}
