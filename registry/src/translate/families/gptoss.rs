//! gpt-oss.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | architecture | `gptoss` | `gpt-oss`, also in every key |
//! | added if absent | | `expert_feed_forward_length`: the second dimension of `blk.0.ffn_gate_exps.weight`; `rope.scaling.type` yarn |
//! | set | | `tokenizer.ggml.pre` gpt-4o |
//! | tensors | `.attn_out.`, `.attn_sinks`, `.ffn_norm` | `.attn_output.`, `.attn_sinks.weight`, `.post_attention_norm` |

use super::super::layout::{Layout, small};
use super::super::source::{Source, View};
use super::Error;

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "gptoss"
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, &[]);
    layout.become_architecture("gpt-oss");
    if !layout.keys.has("gpt-oss.expert_feed_forward_length") {
        let width = source.dim("blk.0.ffn_gate_exps.weight", 1)?;
        layout.set("expert_feed_forward_length", small(width, "a width")?);
    }
    layout.inject("rope.scaling.type", "yarn");
    layout.keys.set("tokenizer.ggml.pre", "gpt-4o");
    layout.tensors.replace(".attn_out.", ".attn_output.");
    layout
        .tensors
        .replace_end(".attn_sinks", ".attn_sinks.weight");
    layout.tensors.replace(".ffn_norm", ".post_attention_norm");
    Ok(layout)
}
