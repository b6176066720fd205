//! Qwen3-VL, dense and with experts.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | added | no `rope.dimension_sections` | 24, 20, 20, 0 |
//! | added if absent | | `n_deepstack_layers`: the number of `vision.deepstack_visual_indexes` |
//! | other file | tensors `v.*` and `mm.*`, keys `vision.*` | a projector `qwen3vl_merger` with the names in [`qwen::NAMES`] |
//! | names there | `v.deepstack_merger.i.norm`, `.linear_fc1`, `.linear_fc2` | `v.deepstack.` with the i-th of those indexes, `.norm`, `.fc1`, `.fc2` |
//! | keys there | `vision.shortest_edge`, `vision.longest_edge` | `image_min_pixels`, `image_max_pixels` |
//! | added there | | `feed_forward_length` and `image_size` by the shapes of tensors, `is_deepstack_layers` |
//! | reshaped there | three tensors of attention; patch embeddings of two frames | one in F32; one tensor for each frame in F32 |

use super::super::layout::{HALVES, Layout, MOST_BLOCKS, STANDARD, VisionDefaults, small};
use super::super::source::{Source, View, within, wrong_key};
use super::{Error, SIGHT, qwen};

pub(super) fn is(view: View<'_>) -> bool {
    ["qwen3vl", "qwen3vlmoe"].contains(&view.architecture())
        && !view.has_any(&["rope.dimension_sections"])
}

/// The layers of the vision encoder whose output also goes into layers of the model.
fn deepstack(source: Source<'_>) -> Result<Vec<u64>, Error> {
    let key = source.key("vision.deepstack_visual_indexes");
    if !source.view.has(&key) {
        return Ok(Vec::new());
    }
    let layers = source.view.numbers(&key);
    let layers = layers.ok_or_else(|| wrong_key(&key, "a list of numbers"))?;
    within(&key, layers.len() as u64, MOST_BLOCKS)?;
    Ok(layers)
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, SIGHT);
    layout.set("rope.dimension_sections", [24, 20, 20, 0].as_slice());
    let layers = deepstack(source)?.len() as u64;
    layout.inject("n_deepstack_layers", small(layers, "the layers")?);
    Ok(layout)
}

pub(super) fn projector(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::projector(source, SIGHT);
    let eyes = VisionDefaults {
        projector: "qwen3vl_merger",
        activation: Some("use_gelu"),
        colors: HALVES,
    };
    layout.see(eyes, &[STANDARD, &["attention.layer_norm_epsilon"]])?;
    let optional = [
        "spatial_merge_size",
        "num_channels",
        "temporal_patch_size",
        "rope.freq_base",
    ];
    layout.see_if_there(&optional);
    layout.take_if_there("vision.shortest_edge", "vision.image_min_pixels");
    layout.take_if_there("vision.longest_edge", "vision.image_max_pixels");
    layout.inject("vision.num_channels", 3_u32);
    layout.inject("vision.temporal_patch_size", 2_u32);
    layout.inject("vision.rope.freq_base", 1e4_f32);
    layout.inject("vision.image_min_pixels", 65_536_u32);
    layout.inject("vision.image_max_pixels", 16_777_216_u32);
    let width = source.dim("v.blk.0.mlp.linear_fc1.weight", 1)?;
    layout.inject("vision.feed_forward_length", small(width, "a width")?);
    let side = qwen::side(&layout)?;
    layout.inject("vision.image_size", small(side, "a side")?);
    let deep = deepstack(source)?;
    let blocks: Vec<bool> = (0..layout.eye_blocks()?)
        .map(|block| deep.contains(&block))
        .collect();
    layout.inject("vision.is_deepstack_layers", blocks.as_slice());

    qwen::join_attention(&mut layout, true)?;
    qwen::part_times(&mut layout)?;
    for (number, layer) in deep.iter().enumerate() {
        for (from, to) in [
            ("norm", "norm"),
            ("linear_fc1", "fc1"),
            ("linear_fc2", "fc2"),
        ] {
            let from = format!("v.deepstack_merger.{number}.{from}.");
            let to = format!("v.deepstack.{layer}.{to}.");
            layout.tensors.replace_begin(&from, &to);
        }
    }
    layout.tensors.replace_all(qwen::NAMES);
    layout.tensors.promote(&["v.position_embd.weight"])?;
    Ok(layout)
}
