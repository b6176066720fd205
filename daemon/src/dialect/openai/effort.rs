//! How much a model thinks.

use api::Think;
use api::openai::ReasoningOptions;
use serde_json::Value;

use crate::error::Error;
use crate::think::Effort;

/// The words of `reasoning_effort`, with the level of each.
const WORDS: [(&str, Effort); 8] = [
    ("none", Effort::Off),
    ("minimal", Effort::Level("low")),
    ("low", Effort::Level("low")),
    ("medium", Effort::Level("medium")),
    ("high", Effort::Level("high")),
    ("xhigh", Effort::Level("max")),
    ("ultra", Effort::Level("max")),
    ("max", Effort::Level("max")),
];

/// Reads one of [`WORDS`].
///
/// # Errors
/// [`Error::Field`] for another word.
pub(super) fn of_word(field: &str, word: &str) -> Result<Effort, Error> {
    let known = WORDS.iter().find(|(known, _)| *known == word);
    known.map(|(_, effort)| *effort).ok_or_else(|| {
        let words = WORDS.map(|(word, _)| word).join(", ");
        Error::field(field, format!("must be one of {words}"))
    })
}

/// The thinking that a request asks for: by `think`, else by `reasoning_effort`, else by `reasoning`.
///
/// # Errors
/// [`Error::Field`] for an unknown word.
pub(super) fn of_request(
    think: Option<&Think>,
    effort: Option<&str>,
    reasoning: Option<&ReasoningOptions>,
) -> Result<Option<Effort>, Error> {
    let of_reasoning = |reasoning: &ReasoningOptions| match (&reasoning.effort, reasoning.enabled) {
        (Some(word), _) => of_word("reasoning.effort", word).map(Some),
        (None, enabled) => Ok(enabled.map(switched)),
    };
    match (think, effort.filter(|word| !word.is_empty())) {
        (Some(Think::Switch(on)), _) => Ok(Some(switched(*on))),
        (Some(Think::Level(word)), _) => of_word("think", word).map(Some),
        (None, Some(word)) => of_word("reasoning_effort", word).map(Some),
        (None, None) => reasoning.map_or(Ok(None), of_reasoning),
    }
}

/// The thinking that a variable of the chat template turns on or off; `None` for any other variable.
///
/// # Errors
/// [`Error::Field`] for a wrong value.
pub(super) fn of_variable(name: &str, value: &Value) -> Result<Option<Effort>, Error> {
    let field = || format!("chat_template_kwargs.{name}");
    match (name, value) {
        ("enable_thinking" | "thinking", Value::Bool(on)) => Ok(Some(switched(*on))),
        ("enable_thinking" | "thinking", _) => Err(Error::field(field(), "must be true or false")),
        ("reasoning_effort", Value::String(word)) => of_word(&field(), word).map(Some),
        ("reasoning_effort", _) => Err(Error::field(field(), "must be a text")),
        _ => Ok(None),
    }
}

fn switched(on: bool) -> Effort {
    match on {
        true => Effort::On,
        false => Effort::Off,
    }
}
