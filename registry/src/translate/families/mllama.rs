//! Llama 3.2 Vision, which llama.cpp runs in no layout; it is recognised for a clear error.
//! Ollama refuses it with llama.cpp too.

use super::super::source::View;

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "mllama"
}
