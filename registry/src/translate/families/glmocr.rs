//! GLM-OCR.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | architecture | `glmocr` | `glm4`, also in every key |
//! | keys | `rope.mrope_section` of three | `rope.dimension_sections`: those and a 0 |
//! | added if absent | | `rope.dimension_count`: `attention.key_length` |
//! | set if there | | `tokenizer.ggml.pre` chatglm-bpe |
//! | tensors | `.attn_out.`, `.post_attn_norm.`, `.post_ffn_norm.` | `.attn_output.`, `.post_attention_norm.`, `.post_ffw_norm.` |
//! | reshaped | `ffn_gate.weight` and `ffn_up.weight` of each layer | one `ffn_up.weight`, the gate first |
//! | other file | tensors `v.*` and `mm.*`, keys `vision.*` | a projector `glm4v` |
//! | keys there | `vision.intermediate_size`, `vision.attention.layer_norm_rms_epsilon`, `vision.out_hidden_size` | `feed_forward_length`, `attention.layer_norm_epsilon`, `projection_dim` |
//! | names there | `v.patch_embd_0.weight`, `v.patch_embd_1.weight` | `v.patch_embd.weight`, `v.patch_embd.weight.1`, both in F32 |

use super::super::layout::{CLIP, Layout, MOST_BLOCKS, STANDARD, VisionDefaults};
use super::super::source::{Source, View};
use super::{Error, SIGHT};

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "glmocr"
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, SIGHT);
    layout.become_architecture("glm4");
    let sections = source.key("rope.mrope_section");
    if source.view.has(&sections) {
        layout.set_sections(&sections)?;
    }
    layout.remove("rope.mrope_section");
    layout.take_if_there("attention.key_length", "rope.dimension_count");
    if layout.keys.has("tokenizer.ggml.pre") {
        layout.keys.set("tokenizer.ggml.pre", "chatglm-bpe");
    }
    layout.tensors.replace_all(&[
        (".attn_out.", ".attn_output."),
        (".post_attn_norm.", ".post_attention_norm."),
        (".post_ffn_norm.", ".post_ffw_norm."),
    ]);
    let blocks = source.count(&source.key("block_count"), MOST_BLOCKS)?;
    for block in 0..blocks {
        let name = |part: &str| format!("blk.{block}.ffn_{part}.weight");
        if source.view.find(&name("gate")).is_some() {
            layout
                .tensors
                .join(&["gate", "up"].map(name), &name("up"))?;
        }
    }
    Ok(layout)
}

pub(super) fn projector(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::projector(source, SIGHT);
    let eyes = VisionDefaults {
        projector: "glm4v",
        activation: Some("use_silu"),
        colors: CLIP,
    };
    for (from, to) in [
        ("intermediate_size", "feed_forward_length"),
        (
            "attention.layer_norm_rms_epsilon",
            "attention.layer_norm_epsilon",
        ),
        ("out_hidden_size", "projection_dim"),
    ] {
        layout.take_over(&format!("vision.{from}"), &format!("vision.{to}"))?;
    }
    layout.see(eyes, &[STANDARD, &["image_size"]])?;
    layout.see_if_there(&["spatial_merge_size"]);
    layout
        .tensors
        .rename("v.patch_embd_0.weight", "v.patch_embd.weight");
    layout
        .tensors
        .rename("v.patch_embd_1.weight", "v.patch_embd.weight.1");
    layout
        .tensors
        .promote(&["v.patch_embd.weight", "v.patch_embd.weight.1"])?;
    Ok(layout)
}
