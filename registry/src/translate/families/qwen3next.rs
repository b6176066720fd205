//! Qwen3-Next.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | keys | `attention.head_count_kv` for each layer, 0 for linear attention | the greatest |
//! | tensors | names that end in `.ssm_dt` | `.ssm_dt.bias` |

use super::super::layout::Layout;
use super::super::source::{Source, View};
use super::Error;

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "qwen3next" && view.any(|name| name.ends_with(".ssm_dt"))
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, &[]);
    layout.one_head_count_kv(None)?;
    layout.tensors.replace_end(".ssm_dt", ".ssm_dt.bias");
    Ok(layout)
}
