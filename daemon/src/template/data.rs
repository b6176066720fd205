//! What a template is given, under the names that it knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::Value;

use super::Input;
use super::turns::{self, Exchange, Turn};

/// For a template that fills in between a beginning and an end.
pub(super) fn of_suffix(input: &Input<'_>) -> Value {
    with_thinking(
        input,
        [
            ("System", text(&turns::system(input.turns))),
            ("Prompt", text(input.prompt)),
            ("Suffix", text(input.suffix)),
            ("Response", text("")),
        ],
    )
}

/// For a template that goes over the messages itself.
pub(super) fn of_messages(input: &Input<'_>) -> Value {
    let collated = turns::collated(input.turns);
    let messages: Vec<Value> = collated.iter().map(message).collect();
    with_thinking(
        input,
        [
            ("System", text(&turns::system(input.turns))),
            ("Messages", Value::List(messages.into())),
            ("Tools", Value::List([].into())),
            ("Prompt", text("")),
            ("Suffix", text("")),
            ("Response", text("")),
        ],
    )
}

/// For a template that knows one question and one answer.
pub(super) fn of_exchange(exchange: &Exchange, input: &Input<'_>) -> Value {
    with_thinking(
        input,
        [
            ("System", text(&exchange.system)),
            ("Prompt", text(&exchange.prompt)),
            ("Response", text(&exchange.response)),
            ("Suffix", text("")),
        ],
    )
}

fn message(turn: &Turn) -> Value {
    map([
        ("Role", text(&turn.role)),
        ("Content", text(&turn.content)),
        ("Thinking", text(&turn.thinking)),
        ("Images", Value::List([].into())),
        ("ToolCalls", Value::List([].into())),
        ("ToolName", text("")),
        ("ToolCallID", text("")),
    ])
}

fn with_thinking<const N: usize>(input: &Input<'_>, members: [(&str, Value); N]) -> Value {
    let thinking = [
        ("Think", Value::Bool(input.think.unwrap_or(false))),
        ("ThinkLevel", text("")),
        ("IsThinkSet", Value::Bool(input.think.is_some())),
    ];
    map(members.into_iter().chain(thinking))
}

fn map<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let members: BTreeMap<Arc<str>, Value> = members
        .into_iter()
        .map(|(key, value)| (Arc::from(key), value))
        .collect();
    Value::Map(Arc::new(members))
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}
