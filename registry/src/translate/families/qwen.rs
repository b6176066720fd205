//! The common part of the vision encoders of Qwen3-VL and Qwen3.5.

use super::super::layout::Layout;
use super::super::source::{Span, shape, within, wrong_key};
use super::Error;

/// Replaced in this order, after all other names.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("v.pos_embed", "v.position_embd"),
    ("v.patch_embed", "v.patch_embd"),
    ("v.merger.norm", "v.post_ln"),
    ("v.merger.linear_fc1", "mm.0"),
    ("v.merger.linear_fc2", "mm.2"),
    (".mlp.linear_fc1", ".ffn_up"),
    (".mlp.linear_fc2", ".ffn_down"),
    (".norm1", ".ln1"),
    (".norm2", ".ln2"),
];

/// The patch embeddings of the two frames of a patch.
const TIMES: [&str; 2] = ["v.patch_embd.weight", "v.patch_embd.weight.1"];
/// Maximum number of channels of an image.
const MOST_COLORS: u64 = 16;

/// Joins `attn_q`, `attn_k` and `attn_v` of each layer to `attn_qkv`.
/// `widen` converts them to F32; tensors of different types are always converted.
pub(super) fn join_attention(layout: &mut Layout<'_>, widen: bool) -> Result<(), Error> {
    for block in 0..layout.eye_blocks()? {
        for end in ["weight", "bias"] {
            let name = |part: &str| format!("v.blk.{block}.attn_{part}.{end}");
            layout
                .tensors
                .join(&["q", "k", "v"].map(name), &name("qkv"))?;
            if widen {
                layout.tensors.promote(&[&name("qkv")])?;
            }
        }
    }
    Ok(())
}

/// Splits the patch embeddings by their two frames:
/// `[width, height, 2, channels of every output]` becomes two tensors `[width, height, channels, outputs]` in F32.
pub(super) fn part_times(layout: &mut Layout<'_>) -> Result<(), Error> {
    const NAME: &str = "v.patch_embed.weight";
    let source = layout.source;
    let tensor = source.tensor(NAME)?;
    let key = source.key("vision.num_channels");
    let colors = match source.view.has(&key) {
        true => source.count(&key, MOST_COLORS)?,
        false => 3,
    };
    if colors == 0 {
        return Err(wrong_key(&key, "a number above 0"));
    }
    let &[width, height, 2, planes] = tensor.dims.as_slice() else {
        return Err(shape(tensor, "four dimensions, the third of 2"));
    };
    if !planes.is_multiple_of(colors) {
        return Err(shape(
            tensor,
            &format!("four dimensions, the last a multiple of {colors}"),
        ));
    }
    let plane = tensor.bytes / 2 / planes;
    let mut halves = Vec::new();
    for (time, name) in (0..).zip(TIMES) {
        let mut half = layout.tensors.get(NAME)?.clone();
        name.clone_into(&mut half.name);
        half.dims = vec![width, height, colors, planes / colors];
        half.pieces(planes, |number| {
            Span::new(tensor.offset + (2 * number + time) * plane, plane)
        })?;
        half.promote()?;
        halves.push(half);
    }
    layout.tensors.split(NAME, halves)
}

/// The side of the image that the position embeddings are made for, in pixels.
pub(super) fn side(layout: &Layout<'_>) -> Result<u64, Error> {
    let places = layout.source.dim("v.pos_embed.weight", 1)?;
    let patch = layout
        .source
        .number(&layout.source.key("vision.patch_size"))?;
    within(
        "the side of a picture",
        places.isqrt().saturating_mul(patch),
        8192,
    )
}
