//! EmbeddingGemma, an embedding model.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | architecture | `gemma3`, with a tensor `dense.0.weight` | `gemma-embedding`, also in every key |
//! | keys | `rope.global.freq_base`, `rope.local.freq_base` | `rope.freq_base`, `rope.freq_base_swa` |
//! | added | | `dense_2_feat_in`, `dense_2_feat_out`, `dense_3_feat_in`, `dense_3_feat_out`: the shapes of the two dense layers |
//! | added if absent | | `rope.freq_base_swa` 1e4 |
//! | removed | `attention.causal`, `attention.sliding_window_pattern` | |
//! | tensors | `dense.0.weight`, `dense.1.weight`, `norm.weight` | `dense_2.weight`, `dense_3.weight`, `output_norm.weight` |
//!
//! The keys of RoPE are those of Gemma 3.

use super::super::layout::{Layout, small};
use super::super::source::{Source, View, shape};
use super::{Error, SIGHT};

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "gemma3" && view.find("dense.0.weight").is_some()
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, SIGHT);
    layout.become_architecture("gemma-embedding");
    layout.rename("rope.global.freq_base", "rope.freq_base");
    layout.rename("rope.local.freq_base", "rope.freq_base_swa");
    layout.inject("rope.freq_base_swa", 1e4_f32);
    for key in ["attention.causal", "attention.sliding_window_pattern"] {
        layout.remove(key);
    }
    // llama.cpp aborts if the input of the first dense layer or the output of the second has another width than the model.
    let width = source.number(&source.key("embedding_length"))?;
    for (from, to, outer) in [
        ("dense.0.weight", "dense_2", 0),
        ("dense.1.weight", "dense_3", 1),
    ] {
        let tensor = source.tensor(from)?;
        match tensor.dims[..] {
            [input, output] if [input, output][outer] == width => {
                layout.set(&format!("{to}_feat_in"), small(input, "a width")?);
                layout.set(&format!("{to}_feat_out"), small(output, "a width")?);
            }
            _ => {
                let side = ["first", "second"][outer];
                return Err(shape(
                    tensor,
                    &format!("two dimensions, the {side} of {width}"),
                ));
            }
        }
        layout.tensors.rename(from, &format!("{to}.weight"));
    }
    layout.tensors.rename("norm.weight", "output_norm.weight");
    Ok(layout)
}
