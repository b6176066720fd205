//! Nemotron-H with experts. The one that also sees and hears (Omni) is recognised only.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | added if absent | | `moe_latent_size`: the second dimension of the first `ffn_latent_in.weight`, where there is one |
//! | tensors | `.ffn_latent_in`, `.ffn_latent_out` | `.ffn_latent_down`, `.ffn_latent_up` |
//! | removed | tensors `mtp.*`, which guess tokens | |
//!
//! Source: `ollama-weights.md` 2.

use super::super::layout::{Layout, small};
use super::super::source::{Source, View};
use super::Error;

pub(super) fn is_moe(view: View<'_>) -> bool {
    const MARKS: &[&str] = &["blk.0.ffn_latent_in", "blk.1.ffn_latent_in", "mtp."];
    view.architecture() == "nemotron_h_moe" && view.begins(MARKS)
}

pub(super) fn is_omni(view: View<'_>) -> bool {
    view.architecture() == "nemotron_h_omni"
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, &["mtp."]);
    let latent = source.view.0.tensors.iter().find(|tensor| {
        tensor.name.starts_with("blk.") && tensor.name.ends_with(".ffn_latent_in.weight")
    });
    if let Some(tensor) = latent {
        let width = source.dim(&tensor.name, 1)?;
        layout.inject("moe_latent_size", small(width, "a width")?);
    }
    layout.tensors.replace(".ffn_latent_in", ".ffn_latent_down");
    layout.tensors.replace(".ffn_latent_out", ".ffn_latent_up");
    Ok(layout)
}
