//! Gemma 3; all sizes but the smallest have a vision encoder.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | keys | `rope.global.freq_base`, `rope.local.freq_base` | `rope.freq_base`, `rope.freq_base_swa` |
//! | added if absent | | `attention.layer_norm_rms_epsilon` 1e-6, `rope.freq_base` 1e6, `rope.freq_base_swa` 1e4; from 131,072 tokens of context on also `rope.scaling.type` linear by 8 |
//! | cut | lists of the vocabulary longer than the token embeddings | the length of the token embeddings |
//! | added if absent | | a chat template |
//! | other file | tensors `v.*` and `mm.*`, keys `vision.*` | a projector `gemma3` with the names in [`NAMES`] |
//!
//! The weights of norms need no change: their added 1 is already in the file.
//! Three marks of older versions of Ollama are not tested, because files in llama.cpp's layout have them too.

use super::super::layout::{HALVES, Layout, STANDARD, VisionDefaults};
use super::super::source::{Source, View};
use super::{Error, SIGHT};

/// Replaced in this order. `fc1` becomes `ffn_down` and `fc2` becomes `ffn_up`, as in llama.cpp's converter.
const NAMES: &[(&str, &str)] = &[
    ("v.patch_embedding", "v.patch_embd"),
    ("v.position_embedding", "v.position_embd"),
    ("v.post_layernorm", "v.post_ln"),
    (".layer_norm1", ".ln1"),
    (".layer_norm2", ".ln2"),
    (".attn_output", ".attn_out"),
    (".mlp.fc1", ".ffn_down"),
    (".mlp.fc2", ".ffn_up"),
    ("mm.mm_input_projection", "mm.input_projection"),
    ("mm.mm_soft_emb_norm", "mm.soft_emb_norm"),
];

/// The chat template. The model has no system turn, so a system prompt goes before the first question.
const TEMPLATE: &str = include_str!("gemma3.jinja");

/// The context length from which positions are scaled.
const LONG: u64 = 131_072;

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "gemma3"
        && (view.has_any(&["rope.global.freq_base", "rope.local.freq_base"])
            || view.begins(SIGHT)
            || !view.has_any(&["attention.layer_norm_rms_epsilon"]))
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, SIGHT);
    layout.rename("rope.global.freq_base", "rope.freq_base");
    layout.rename("rope.local.freq_base", "rope.freq_base_swa");
    layout.inject("attention.layer_norm_rms_epsilon", 1e-6_f32);
    layout.inject("rope.freq_base", 1e6_f32);
    layout.inject("rope.freq_base_swa", 1e4_f32);
    let context = source.view.number(&source.key("context_length"));
    if context.is_some_and(|context| context >= LONG) {
        layout.inject("rope.scaling.type", "linear");
        layout.inject("rope.scaling.factor", 8_f32);
    }
    let tokens = source.dim("token_embd.weight", 1)?;
    for list in ["tokens", "scores", "token_type"] {
        layout.cut(&format!("tokenizer.ggml.{list}"), tokens)?;
    }
    layout.keys.inject("tokenizer.chat_template", TEMPLATE);
    Ok(layout)
}

pub(super) fn projector(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::projector(source, SIGHT);
    let eyes = VisionDefaults {
        projector: "gemma3",
        activation: Some("use_gelu"),
        colors: HALVES,
    };
    let more = [
        "feed_forward_length",
        "image_size",
        "attention.layer_norm_epsilon",
    ];
    layout.see(eyes, &[STANDARD, &more])?;
    layout.tensors.replace_all(NAMES);
    layout
        .tensors
        .promote(&["v.patch_embd.weight", "v.position_embd.weight"])?;
    Ok(layout)
}
