//! Qwen2.5-VL.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | architecture | `qwen25vl` | `qwen2vl`, also in every key |
//! | keys | `rope.mrope_section`, of three numbers or more | `rope.dimension_sections`: the first three and a 0 |
//! | other file | tensors `v.*` and `mm.*`, keys `vision.*` | a projector `qwen2.5vl_merger` with the names in [`NAMES`] |
//! | added there | | `feed_forward_length`: the second dimension of `v.blk.0.ffn_up.weight`; `image_size` 560; `n_wa_pattern`: the first of `vision.fullatt_block_indexes` plus 1, or 8 |

use super::super::layout::{CLIP, Layout, MOST_BLOCKS, STANDARD, VisionDefaults, small};
use super::super::source::{Source, View, within, wrong_key};
use super::{Error, SIGHT};

/// Whole names.
const NAMES: &[(&str, &str)] = &[
    ("v.merger.ln_q.weight", "v.post_ln.weight"),
    ("v.merger.mlp.0.weight", "mm.0.weight"),
    ("v.merger.mlp.0.bias", "mm.0.bias"),
    ("v.merger.mlp.2.weight", "mm.2.weight"),
    ("v.merger.mlp.2.bias", "mm.2.bias"),
    ("v.patch_embd_0.weight", "v.patch_embd.weight"),
    ("v.patch_embd_1.weight", "v.patch_embd.weight.1"),
];

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "qwen25vl"
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, SIGHT);
    layout.become_architecture("qwen2vl");
    layout.set_sections(&source.key("rope.mrope_section"))?;
    layout.remove("rope.mrope_section");
    Ok(layout)
}

pub(super) fn projector(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::projector(source, SIGHT);
    let eyes = VisionDefaults {
        projector: "qwen2.5vl_merger",
        activation: Some("use_silu"),
        colors: CLIP,
    };
    layout.see(eyes, &[STANDARD, &["attention.layer_norm_epsilon"]])?;
    layout.see_if_there(&["num_channels", "spatial_merge_size", "window_size"]);
    let width = source.dim("v.blk.0.ffn_up.weight", 1)?;
    layout.inject("vision.feed_forward_length", small(width, "a width")?);
    layout.inject("vision.image_size", 560_u32);
    let full = source.key("vision.fullatt_block_indexes");
    let pattern = match source.view.numbers(&full).as_deref() {
        None if source.view.has(&full) => return Err(wrong_key(&full, "a list of numbers")),
        None | Some([]) => 8,
        Some([first, ..]) => within(&full, *first, MOST_BLOCKS)? + 1,
    };
    layout.inject("vision.n_wa_pattern", small(pattern, "a layer")?);
    for (from, to) in NAMES {
        layout.tensors.rename(from, to);
    }
    layout
        .tensors
        .promote(&["v.patch_embd.weight", "v.patch_embd.weight.1"])?;
    Ok(layout)
}
