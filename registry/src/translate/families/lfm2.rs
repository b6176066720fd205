//! LFM2.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | set | | `tokenizer.ggml.pre` lfm2; `feed_forward_length`: the second dimension of `blk.0.ffn_gate.weight` |
//! | tensors | `output_norm.weight` | `token_embd_norm.weight` |

use super::super::layout::{Layout, small};
use super::super::source::{Source, View};
use super::Error;

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "lfm2"
        && view.find("output_norm.weight").is_some()
        && view.find("token_embd_norm.weight").is_none()
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, &[]);
    layout.keys.set("tokenizer.ggml.pre", "lfm2");
    let width = source.dim("blk.0.ffn_gate.weight", 1)?;
    layout.set("feed_forward_length", small(width, "a width")?);
    layout
        .tensors
        .rename("output_norm.weight", "token_embd_norm.weight");
    Ok(layout)
}
