//! Laguna.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | keys | `rope.swa.dimension_count`, `rope.swa.freq_base` | `rope.dimension_count_swa`, `rope.freq_base_swa` |
//! | tensors | names that end in `.attn_g.weight` | `.attn_gate.weight` |

use super::super::layout::Layout;
use super::super::source::{Source, View};
use super::Error;

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "laguna"
        && (view.has_any(&["rope.swa.dimension_count", "rope.swa.freq_base"])
            || view.find("blk.0.attn_g.weight").is_some())
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, &[]);
    layout.rename("rope.swa.dimension_count", "rope.dimension_count_swa");
    layout.rename("rope.swa.freq_base", "rope.freq_base_swa");
    layout
        .tensors
        .replace_end(".attn_g.weight", ".attn_gate.weight");
    Ok(layout)
}
