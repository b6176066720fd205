//! Qwen3.5, dense and with experts.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | keys | `attention.head_count_kv` for each layer, 0 for linear attention | the greatest, or 2 |
//! | keys | `rope.dimension_sections` of three | and a 0 |
//! | tensors | names that end in `.ssm_dt` | `.ssm_dt.bias` |
//! | removed | the keys in [`MARKS`]; tensors `mtp.*`, which draft tokens, and then `nextn_predict_layers` | |
//! | other file | tensors `v.*` and `mm.*`, keys `vision.*` | a projector `qwen3vl_merger` with the names in [`qwen::NAMES`] |
//! | added there | | `feed_forward_length` by the shape of a tensor, or 4304; `image_size` 768; `layer_norm_epsilon` 1e-6; `is_deepstack_layers`: none |
//! | reshaped there | three tensors of attention; patch embeddings of two frames | one; one tensor for each frame in F32 |
//!
//! As in newer versions of Ollama, `feed_forward_length` is not a mark of this layout.

use super::super::layout::{HALVES, Layout, STANDARD, VisionDefaults, small};
use super::super::source::{Source, View};
use super::{Error, SIGHT, qwen};

/// Keys of this layout only. llama.cpp reads none of them.
const MARKS: &[&str] = &[
    "vision.block_count",
    "image_token_id",
    "ssm.v_head_reordered",
    "rope.mrope_interleaved",
];

const HIDDEN: &[&str] = &["v.", "mm.", "mtp."];

pub(super) fn is(view: View<'_>) -> bool {
    ["qwen35", "qwen35moe"].contains(&view.architecture())
        && (view.has_any(MARKS) || view.begins(&["mtp.", "v."]))
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, HIDDEN);
    layout.one_head_count_kv(Some(2))?;
    let sections = source.key("rope.dimension_sections");
    if source
        .view
        .numbers(&sections)
        .is_some_and(|stated| stated.len() == 3)
    {
        layout.set_sections(&sections)?;
    }
    for mark in MARKS {
        layout.remove(mark);
    }
    layout.tensors.replace_end(".ssm_dt", ".ssm_dt.bias");
    if source.view.begins(&["mtp."]) && !source.view.any(|name| name.contains(".nextn.")) {
        layout.remove("nextn_predict_layers");
    }
    Ok(layout)
}

pub(super) fn projector(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::projector(source, SIGHT);
    let eyes = VisionDefaults {
        projector: "qwen3vl_merger",
        activation: Some("use_gelu"),
        colors: HALVES,
    };
    layout.see(eyes, &[STANDARD])?;
    layout.see_if_there(&["spatial_merge_size", "num_channels"]);
    let width = source
        .dim("v.blk.0.mlp.linear_fc1.weight", 1)
        .unwrap_or(4304);
    layout.inject("vision.feed_forward_length", small(width, "a width")?);
    layout.inject("vision.image_size", 768_u32);
    layout.inject("vision.attention.layer_norm_epsilon", 1e-6_f32);
    let blocks = vec![false; layout.eye_blocks()? as usize];
    layout.inject("vision.is_deepstack_layers", blocks.as_slice());
    qwen::join_attention(&mut layout, false)?;
    qwen::part_times(&mut layout)?;
    layout.tensors.replace_all(qwen::NAMES);
    layout.tensors.promote(&["v.position_embd.weight"])?;
    Ok(layout)
}
