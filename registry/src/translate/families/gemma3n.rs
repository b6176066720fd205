//! Gemma 3n without its vision and audio encoders.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | set | | `tokenizer.ggml.model` llama |
//! | cut | `token_embd.weight` and the lists of the vocabulary, longer than `per_layer_token_embd.weight` | the number of tokens of `per_layer_token_embd.weight` |
//! | set | | `tokenizer.ggml.token_type`: names like `<0x0A>` are bytes, names that begin with `<unused` are normal |
//! | set | `tokenizer.ggml.eos_token_ids` | and 106, or 1 and 106 |

use super::super::keys::{list_of_integers, list_of_texts};
use super::super::layout::Layout;
use super::super::source::{Source, Span, View, missing_key, shape, within};
use super::Error;

const TABLE: &str = "token_embd.weight";
const LAYERS: &str = "per_layer_token_embd.weight";
const TYPES: &str = "tokenizer.ggml.token_type";
const ENDS: &str = "tokenizer.ggml.eos_token_ids";
/// `<end_of_turn>`.
const END_OF_TURN: i32 = 106;
/// `enum llama_token_type` of `llama.h`.
const NORMAL: i32 = 1;
const BYTE: i32 = 6;
/// Maximum number of tokens that the strict reader accepts.
const MOST_TOKENS: u64 = 1 << 20;

pub(super) fn is(view: View<'_>) -> bool {
    let tokens = |name| view.find(name).and_then(|tensor| tensor.dims.get(1));
    view.architecture() == "gemma3n"
        && matches!((tokens(TABLE), tokens(LAYERS)), (Some(table), Some(layers)) if table != layers)
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, &[]);
    let tokens = within("the tokens", source.dim(LAYERS, 1)?, MOST_TOKENS)?;
    let table = source.tensor(TABLE)?;
    let &[width, rows] = table.dims.as_slice() else {
        return Err(shape(table, "two dimensions"));
    };
    if rows < tokens {
        return Err(shape(
            table,
            &format!("two dimensions, the second of {tokens} or more"),
        ));
    }
    let first = Span::new(table.offset, table.bytes / rows * tokens);
    let item = layout.tensors.get(TABLE)?;
    item.dims = vec![width, tokens];
    item.pieces(1, |_| first)?;

    layout.keys.set("tokenizer.ggml.model", "llama");
    for list in ["tokens", "scores", "token_type"] {
        layout.cut(&format!("tokenizer.ggml.{list}"), tokens)?;
    }
    if !source.view.has(TYPES) {
        return Err(missing_key(TYPES));
    }
    let mut types = list_of_integers(&source, TYPES, tokens)?;
    let texts = list_of_texts(&source, "tokenizer.ggml.tokens", tokens)?;
    for (kind, text) in types.iter_mut().zip(&texts) {
        match text.as_slice() {
            [b'<', b'0', b'x', high, low, b'>']
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                *kind = BYTE;
            }
            text if text.starts_with(b"<unused") => *kind = NORMAL,
            _ => {}
        }
    }
    layout.keys.set(TYPES, types.as_slice());
    let mut ends: Vec<i32> = source
        .view
        .numbers(ENDS)
        .unwrap_or_else(|| vec![1])
        .into_iter()
        .filter_map(|id| id.try_into().ok())
        .collect();
    if !ends.contains(&END_OF_TURN) {
        ends.push(END_OF_TURN);
    }
    layout.keys.set(ENDS, ends.as_slice());
    Ok(layout)
}
