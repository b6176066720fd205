//! Projectors of LLaVA and BakLLaVA, written before projectors had a type.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | added | neither `clip.projector_type` nor `clip.vision.projector_type` | `clip.projector_type` mlp |

use super::super::layout::Layout;
use super::super::source::{Source, View};
use super::Error;
use crate::gguf::Value;

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "clip"
        && view.0.metadata.get("clip.has_vision_encoder") == Some(&Value::Bool(true))
        && !view.has_any(&["projector_type", "vision.projector_type"])
}

pub(super) fn projector(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::whole(source);
    layout.set("projector_type", "mlp");
    Ok(layout)
}
