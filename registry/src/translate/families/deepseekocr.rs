//! DeepSeek-OCR.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | architecture | `deepseekocr` | `deepseek2-ocr`, also in every key |
//! | added if absent | | `attention.layer_norm_rms_epsilon` 1e-6; `expert_feed_forward_length` and `expert_shared_count` by the shapes of the first layer with experts |
//! | other file | tensors `s.*`, `v.*` and `mm.*`, keys `vision.*` and `sam.*` | a projector `deepseekocr` with the names in [`NAMES`] |
//! | keys there | `vision.head_count`, `sam.*` | `vision.attention.head_count`, `vision.sam.*` |
//! | added there | | `feed_forward_length` 64, `projection_dim` 1280, `projector.scale_factor` 1, `window_size` 14, `layer_norm_epsilon` 1e-6 |

use super::super::layout::{HALVES, Layout, VisionDefaults, small};
use super::super::source::{Source, View};
use super::Error;

const SIGHT: &[&str] = &["s.", "v.", "mm."];

/// Replaced in this order, after the prefix `s.` has become `v.sam.`.
const NAMES: &[(&str, &str)] = &[
    (".self_attn.out_proj", ".attn_out"),
    (".self_attn.qkv_proj", ".attn_qkv"),
    (".layer_norm1", ".ln1"),
    (".layer_norm2", ".ln2"),
    (".mlp.fc1", ".ffn_up"),
    (".mlp.fc2", ".ffn_down"),
    ("v.pre_layrnorm", "v.pre_ln"),
    (".attn.proj", ".attn.out"),
    (".attn.rel_pos_h", ".attn.pos_h.weight"),
    (".attn.rel_pos_w", ".attn.pos_w.weight"),
    (".norm1", ".pre_ln"),
    (".norm2", ".post_ln"),
    ("mm.layers", "mm.model.fc"),
    ("mm.image_newline", "v.image_newline"),
    ("mm.view_seperator", "v.view_seperator"),
];

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "deepseekocr"
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, SIGHT);
    let sam = source.key("sam.");
    layout.keys.remove(|key| key.starts_with(&sam));
    layout.become_architecture("deepseek2-ocr");
    layout.inject("attention.layer_norm_rms_epsilon", 1e-6_f32);
    let expert = source.dim("blk.1.ffn_down_exps.weight", 0)?;
    let shared = source.dim("blk.1.ffn_down_shexp.weight", 0)?;
    layout.inject("expert_feed_forward_length", small(expert, "a width")?);
    layout.inject(
        "expert_shared_count",
        small(shared / expert, "the experts")?,
    );
    Ok(layout)
}

pub(super) fn projector(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::projector(source, SIGHT);
    let eyes = VisionDefaults {
        projector: "deepseekocr",
        activation: Some("use_gelu"),
        colors: HALVES,
    };
    layout.inject("vision.projection_dim", 1280_u32);
    let own = [
        "block_count",
        "embedding_length",
        "image_size",
        "patch_size",
    ];
    layout.see(eyes, &[&own])?;
    layout.take_over("vision.head_count", "vision.attention.head_count")?;
    for key in ["block_count", "embedding_length", "head_count"] {
        layout.take_over(&format!("sam.{key}"), &format!("vision.sam.{key}"))?;
    }
    layout.inject("vision.feed_forward_length", 64_u32);
    layout.inject("vision.projector.scale_factor", 1_u32);
    layout.inject("vision.window_size", 14_u32);
    layout.inject("vision.attention.layer_norm_epsilon", 1e-6_f32);
    layout.tensors.replace_begin("s.", "v.sam.");
    layout
        .tensors
        .rename("v.sam.position_embd", "v.sam.pos_embd.weight");
    layout.tensors.replace_all(NAMES);
    layout.tensors.promote(&[
        "v.patch_embd.weight",
        "v.sam.patch_embd.weight",
        "v.position_embd.weight",
    ])?;
    Ok(layout)
}
