//! GLM-4.7-Flash.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | architecture | `glm4moelite` | `deepseek2`, also in every key |
//! | set, under `attention.` | | `head_count_kv` 1; `key_length`: `kv_lora_rank` plus `rope.dimension_count`; `value_length`: `kv_lora_rank`; `key_length_mla` and `value_length_mla`: the old `key_length` |
//! | added if absent | | `expert_group_count` and `expert_group_used_count` 1 |
//! | set | | `tokenizer.ggml.pre` glm4 |
//! | added if absent | second and third of `tokenizer.ggml.eos_token_ids` | `tokenizer.ggml.eot_token_id`, `tokenizer.ggml.eom_token_id` |

use super::super::layout::{Layout, small};
use super::super::source::{Source, View};
use super::Error;

/// Maximum width of a head.
const MOST_WIDTH: u64 = 65_536;

pub(super) fn is(view: View<'_>) -> bool {
    view.architecture() == "glm4moelite"
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, &[]);
    layout.become_architecture("deepseek2");
    let width = |key: &str| source.count(&source.key(key), MOST_WIDTH);
    let rank = width("attention.kv_lora_rank")?;
    let rotated = width("rope.dimension_count")?;
    let head = width("attention.key_length")?;
    for (key, value) in [
        ("head_count_kv", 1),
        ("key_length", rank + rotated),
        ("value_length", rank),
        ("key_length_mla", head),
        ("value_length_mla", head),
    ] {
        layout.set(&format!("attention.{key}"), small(value, "a width")?);
    }
    layout.inject("expert_group_count", 1_u32);
    layout.inject("expert_group_used_count", 1_u32);
    layout.keys.set("tokenizer.ggml.pre", "glm4");
    let ends = source.view.numbers("tokenizer.ggml.eos_token_ids");
    let ends = ends.unwrap_or_default();
    for (number, key) in [(1, "eot"), (2, "eom")] {
        if let Some(id) = ends.get(number) {
            let key = format!("tokenizer.ggml.{key}_token_id");
            layout.keys.inject(&key, small(*id, "a token")?);
        }
    }
    Ok(layout)
}
