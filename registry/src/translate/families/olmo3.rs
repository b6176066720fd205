//! Olmo 3.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | architecture | `olmo3` | `olmo2`, also in every key |

use super::super::layout::Layout;
use super::super::source::{Source, View};
use super::Error;

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "olmo3"
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, &[]);
    layout.become_architecture("olmo2");
    Ok(layout)
}
