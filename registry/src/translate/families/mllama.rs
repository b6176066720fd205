//! Llama 3.2 Vision, which llama.cpp cannot run in any layout: recognised for a clear error.
//!
//! Source: `ollama-weights.md` 5; Ollama itself refuses it with llama.cpp.

use super::super::source::View;

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "mllama"
}
