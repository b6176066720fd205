//! Renderers: names of code in Ollama that renders the prompts of a model in place of a template.
//!
//! Weights nearly always have a chat template, which is used then. For weights without one, a renderer with a known simple format
//! is replaced by a template of that format, without tools and thinking.

/// Roles and texts between `<|im_start|>` and `<|im_end|>`, which is how the families below are trained.
const CHATML: &str = include_str!("renderers/chatml.jinja");

/// Renderers of families that read ChatML, by how their ids begin.
const CHATML_FAMILIES: [&str; 6] = [
    "lfm2",
    "olmo3",
    "qwen3-coder",
    "qwen3-vl",
    "qwen3.5",
    "qwen3.8",
];

/// The chat template (Jinja) that stands in for a renderer; nothing for one whose form is not known.
pub(crate) fn chat_template(renderer: &str) -> Option<&'static str> {
    let reads_chatml = CHATML_FAMILIES
        .iter()
        .any(|family| renderer.starts_with(family));
    reads_chatml.then_some(CHATML)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renderer_of_a_known_form_has_a_template() {
        for known in ["qwen3-vl-thinking", "olmo3.1", "qwen3.5"] {
            assert!(chat_template(known).is_some(), "{known}");
        }
        for unknown in ["", "gemma4", "nobody's", "qwen"] {
            assert_eq!(chat_template(unknown), None, "{unknown}");
        }
    }
}
