//! Llama 4.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | other file | tensors `v.*` and `mm.*`, keys `vision.*` | a projector `llama4` with the names in [`NAMES`] |
//! | keys there | `vision.layer_norm_epsilon` | `vision.attention.layer_norm_epsilon` |
//! | added there | `vision.pixel_shuffle_ratio` | `projector.scale_factor`: one by it, or 2 |
//!
//! Patch and position embeddings become F32, as in a later branch of Ollama.

use super::super::layout::{HALVES, Layout, STANDARD, VisionDefaults};
use super::super::source::{Source, View, wrong_key};
use super::{Error, SIGHT};

/// Replaced in this order: the names of the adapter contain names of the layers.
const NAMES: &[(&str, &str)] = &[
    ("v.vision_adapter.mlp.fc1", "mm.model.mlp.1"),
    ("v.vision_adapter.mlp.fc2", "mm.model.mlp.2"),
    ("mm.linear_1", "mm.model.fc"),
    ("v.class_embedding", "v.class_embd"),
    ("v.layernorm_post", "v.post_ln"),
    ("v.layernorm_pre", "v.pre_ln"),
    ("v.patch_embedding", "v.patch_embd"),
    (".attn_output", ".attn_out"),
    (".attn_norm", ".ln1"),
    (".ffn_norm", ".ln2"),
    (".mlp.fc1", ".ffn_up"),
    (".mlp.fc2", ".ffn_down"),
];

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "llama4" && view.begins(SIGHT)
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    Ok(Layout::weights(source, SIGHT))
}

pub(super) fn projector(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::projector(source, SIGHT);
    let eyes = VisionDefaults {
        projector: "llama4",
        activation: Some("use_gelu"),
        colors: HALVES,
    };
    layout.inject("vision.projector_type", "llama4");
    layout.see(eyes, &[STANDARD, &["feed_forward_length", "image_size"]])?;
    layout.take_over(
        "vision.layer_norm_epsilon",
        "vision.attention.layer_norm_epsilon",
    )?;
    let key = source.key("vision.pixel_shuffle_ratio");
    let factor = match source.view.float(&key) {
        None => 2,
        // No model shrinks an image to less than a hundredth.
        Some(ratio) if (0.01..=1.0).contains(&ratio) => (1.0 / ratio).round() as u32,
        Some(_) => return Err(wrong_key(&key, "a number from 0.01 to 1")),
    };
    layout.inject("vision.projector.scale_factor", factor);
    layout
        .tensors
        .rename("v.positional_embedding_vlm", "v.position_embd.weight");
    layout.tensors.replace_all(NAMES);
    layout
        .tensors
        .promote(&["v.patch_embd.weight", "v.position_embd.weight"])?;
    Ok(layout)
}
