//! Mistral Small 3.1 and later, and Ministral 3.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | keys | those in [`KEYS`] | those beside them |
//! | added if absent, empty or default | | `tokenizer.ggml.pre` tekken |
//! | other file | tensors `v.*` and `mm.*`, keys `vision.*` | a projector `pixtral` with the names in [`NAMES`] |
//! | keys there | `spatial_merge_size`, `vision.rope.freq_base` | `clip.vision.spatial_merge_size`, `clip.rope.freq_base` |
//! | added there | | `layer_norm_epsilon` 1e-5; a tensor `v.token_embd.img_break`: the embedding of the token that ends a row of an image |
//! | reordered there | rows of `attn_q.weight` and `attn_k.weight`: the first half of a head, then the second | rows of the two halves in turn |
//!
//! Ollama fills the added tensor with zeros.

use super::super::layout::{CLIP, Layout, STANDARD, VisionDefaults};
use super::super::source::{Source, Span, View, shape, within};
use super::super::tensors::Item;
use super::super::values;
use super::{Error, SIGHT};

const KEYS: &[(&str, &str)] = &[
    ("rope.scaling.beta_fast", "rope.scaling.yarn_beta_fast"),
    ("rope.scaling.beta_slow", "rope.scaling.yarn_beta_slow"),
    (
        "rope.scaling.mscale_all_dim",
        "rope.scaling.yarn_log_multiplier",
    ),
    ("rope.scaling_beta", "attention.temperature_scale"),
];

/// Replaced in this order.
const NAMES: &[(&str, &str)] = &[
    ("v.patch_conv", "v.patch_embd"),
    ("v.encoder_norm", "v.pre_ln"),
    (".attn_output", ".attn_out"),
    (".attn_norm", ".ln1"),
    (".ffn_norm", ".ln2"),
    ("mm.linear_1", "mm.1"),
    ("mm.linear_2", "mm.2"),
    ("mm.patch_merger.merging_layer", "mm.patch_merger"),
    ("mm.norm", "mm.input_norm"),
];

/// The token `[IMG_BREAK]`.
const BREAK: u64 = 12;
/// Maximum number of rows of a vision tensor, and maximum width of a model.
const MOST_ROWS: u64 = 16_384;

pub(super) fn is(view: View<'_>) -> bool {
    const MARKS: &[&str] = &[
        "rope.scaling.beta_fast",
        "rope.scaling.mscale_all_dim",
        "rope.scaling_beta",
    ];
    view.architecture() == "mistral3" && (view.begins(SIGHT) || view.has_any(MARKS))
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, SIGHT);
    for (from, to) in KEYS {
        layout.rename(from, to);
    }
    layout.remove("spatial_merge_size");
    layout.cut_texts_as("tekken");
    Ok(layout)
}

pub(super) fn projector(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::projector(source, SIGHT);
    let eyes = VisionDefaults {
        projector: "pixtral",
        activation: Some("use_silu"),
        colors: CLIP,
    };
    layout.see(eyes, &[STANDARD, &["feed_forward_length", "image_size"]])?;
    layout.see_if_there(&["num_channels"]);
    layout.take_if_there("spatial_merge_size", "vision.spatial_merge_size");
    layout.take_if_there("vision.rope.freq_base", "rope.freq_base");
    layout.inject("vision.attention.layer_norm_epsilon", 1e-5_f32);
    let heads = source.count(&source.key("vision.attention.head_count"), MOST_ROWS)?;
    for block in 0..layout.eye_blocks()? {
        for part in ["attn_q", "attn_k"] {
            interleave(&mut layout, &format!("v.blk.{block}.{part}.weight"), heads)?;
        }
    }
    layout.tensors.replace_all(NAMES);
    layout.tensors.promote(&["v.patch_embd.weight"])?;
    let row = end_of_row(source)?;
    let width = row.len() as u64;
    layout
        .tensors
        .push(Item::floats("v.token_embd.img_break", &[width], &row));
    Ok(layout)
}

/// Row `s * half + p` of a head becomes row `2p + s`.
fn interleave(layout: &mut Layout<'_>, name: &str, heads: u64) -> Result<(), Error> {
    let tensor = layout.source.tensor(name)?;
    let wrong = || {
        shape(
            tensor,
            &format!("two dimensions, the second of {heads} even heads"),
        )
    };
    let &[_, rows] = tensor.dims.as_slice() else {
        return Err(wrong());
    };
    within("the rows of a tensor", rows, MOST_ROWS)?;
    if heads == 0 || !rows.is_multiple_of(heads * 2) {
        return Err(wrong());
    }
    let (head, length) = (rows / heads, tensor.bytes / rows);
    let from = |row: u64| {
        let (first, place) = (row / head * head, row % head);
        first + place % 2 * (head / 2) + place / 2
    };
    let span = |row: u64| Span::new(tensor.offset + from(row) * length, length);
    layout.tensors.get(name)?.pieces(rows, span)
}

/// The embedding of the token that ends a row of an image; zeros if values of the tensor's type cannot be read here.
fn end_of_row(source: Source<'_>) -> Result<Vec<f32>, Error> {
    let table = source.tensor("token_embd.weight")?;
    let &[width, rows] = table.dims.as_slice() else {
        return Err(shape(table, "two dimensions"));
    };
    if rows <= BREAK {
        return Err(shape(
            table,
            &format!("two dimensions, the second above {BREAK}"),
        ));
    }
    within("the width of the model", width, MOST_ROWS)?;
    let length = table.bytes / rows;
    let Some(read) = values::reader(table.kind) else {
        return Ok(vec![0.0; width as usize]);
    };
    let bytes = source.read(Span::new(table.offset + BREAK * length, length))?;
    let mut row = Vec::new();
    for block in bytes.chunks_exact(table.kind.block_bytes() as usize) {
        read(block, &mut row);
    }
    Ok(row)
}
