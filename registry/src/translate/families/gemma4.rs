//! Gemma 4.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | keys | `tokenizer.ggml.model` llama | gemma4 |
//! | tensors | `ffn_gate_inp.per_expert_scale` | `ffn_down_exps.scale` |
//! | removed | tensors `model.vision_tower.*` | |
//! | other file | tensors `a.*`, `v.*` and `mm.*`, keys `vision.*` and `audio.*` | a projector `gemma4v`, and `gemma4a` for a model with audio, with the names in [`HEARING`] and [`BLOCKS`] |
//! | added there | | `vision.image_size` 224; with audio also `audio.num_mel_bins` 128 and `audio.projection_dim`: the width of the model |
//!
//! Ollama joins `ffn_gate_exps` and `ffn_up_exps`; llama.cpp reads joined and separate tensors (`src/models/gemma4.cpp`), so they
//! stay as they are.

use super::super::layout::{Layout, PLAIN, STANDARD, VisionDefaults};
use super::super::source::{Source, View};
use super::Error;

const SIGHT: &[&str] = &["a.", "v.", "mm."];
const HIDDEN: &[&str] = &["a.", "v.", "mm.", "model.vision_tower."];

/// Whole names, renamed in this order, because a name of the second line is free only after the first.
const HEARING: &[(&str, &str)] = &[
    ("a.pre_encode.out.weight", "a.input_projection.weight"),
    ("mm.a.fc.weight", "a.pre_encode.out.weight"),
    ("mm.a.fc.bias", "a.pre_encode.out.bias"),
];

/// Parts of names in the layers of the audio encoder, replaced in this order.
const BLOCKS: &[(&str, &str)] = &[
    (".ln1.", ".attn_pre_norm."),
    (".ln2.", ".attn_post_norm."),
    (".layer_pre_norm.", ".ln2."),
    (".linear_pos.", ".attn_k_rel."),
];

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "gemma4"
        && (view.begins(HIDDEN) || view.text("tokenizer.ggml.model") == Some("llama"))
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, HIDDEN);
    if source.view.text("tokenizer.ggml.model") == Some("llama") {
        layout.keys.set("tokenizer.ggml.model", "gemma4");
    }
    layout
        .tensors
        .replace("ffn_gate_inp.per_expert_scale", "ffn_down_exps.scale");
    Ok(layout)
}

pub(super) fn projector(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::projector(source, SIGHT);
    let eyes = VisionDefaults {
        projector: "gemma4v",
        activation: None,
        colors: PLAIN,
    };
    let more = ["feed_forward_length", "attention.layer_norm_epsilon"];
    layout.see(eyes, &[STANDARD, &more])?;
    layout.rename("projector_type", "vision.projector_type");
    layout.inject("vision.image_size", 224_u32);
    if source.view.begins(&["a."]) {
        hear(&mut layout)?;
    }
    layout.tensors.promote(&["v.patch_embd.weight"])?;
    Ok(layout)
}

fn hear(layout: &mut Layout<'_>) -> Result<(), Error> {
    layout.inject("has_audio_encoder", true);
    layout.inject("audio.projector_type", "gemma4a");
    layout.inject("audio.num_mel_bins", 128_u32);
    for key in [
        "block_count",
        "embedding_length",
        "attention.head_count",
        "feed_forward_length",
        "attention.layer_norm_epsilon",
    ] {
        layout.take_over(&format!("audio.{key}"), &format!("audio.{key}"))?;
    }
    layout.take_over("embedding_length", "audio.projection_dim")?;
    for (from, to) in HEARING {
        layout.tensors.rename(from, to);
    }
    for item in &mut layout.tensors.0 {
        if item.name.starts_with("a.blk.") {
            for (from, to) in BLOCKS {
                item.name = item.name.replacen(from, to, 1);
            }
        }
    }
    Ok(())
}
