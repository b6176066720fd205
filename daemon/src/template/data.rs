//! The data of a template, under its names in Go.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::Value;
use runner_protocol::{Message, Tool, ToolCall};
use serde_json::{Value as Json, json};

use super::Input;
use super::turns::{self, Exchange};

/// Data for a template with a suffix.
pub(super) fn of_suffix(input: &Input<'_>) -> Value {
    with_thinking(
        input,
        [
            ("System", text(&turns::system(input.messages))),
            ("Prompt", text(input.prompt)),
            ("Suffix", text(input.suffix)),
            ("Response", text("")),
        ],
    )
}

/// Data for a template with `.Messages`.
pub(super) fn of_messages(input: &Input<'_>) -> Value {
    let collated = turns::collated(input.messages);
    let messages: Vec<Value> = collated.iter().map(message).collect();
    with_thinking(
        input,
        [
            ("System", text(&turns::system(input.messages))),
            ("Messages", Value::List(messages.into())),
            ("Tools", tools(input)),
            ("Prompt", text("")),
            ("Suffix", text("")),
            ("Response", text("")),
        ],
    )
}

/// Data for one exchange, for a template with only `.Prompt` and `.Response`.
pub(super) fn of_exchange(exchange: &Exchange, input: &Input<'_>) -> Value {
    with_thinking(
        input,
        [
            ("System", text(&exchange.system)),
            ("Tools", tools(input)),
            ("Prompt", text(&exchange.prompt)),
            ("Response", text(&exchange.response)),
            ("Suffix", text("")),
        ],
    )
}

/// The fields at the root of a template.
pub(super) const ROOTS: [&str; 9] = [
    "System",
    "Messages",
    "Prompt",
    "Response",
    "Suffix",
    "Tools",
    "Think",
    "ThinkLevel",
    "IsThinkSet",
];

/// The warning about an unknown field at the root; `None` for a known one.
pub(super) fn unknown(name: &str, line: usize) -> Option<String> {
    if ROOTS.contains(&name) {
        return None;
    }
    let nearest = ROOTS
        .iter()
        .map(|root| {
            (
                strsim::damerau_levenshtein(&root.to_lowercase(), &name.to_lowercase()),
                root,
            )
        })
        .filter(|(distance, _)| *distance <= 2)
        .min();
    let meant = nearest.map_or_else(String::new, |(_, root)| {
        format!("; did you mean `.{root}`?")
    });
    let name: String = name.chars().take(40).collect();
    Some(format!(
        "line {line} of the template: `.{name}` does not exist and prints nothing{meant}"
    ))
}

fn message(message: &Message) -> Value {
    map([
        ("Role", text(&message.role)),
        ("Content", text(&message.content)),
        ("Thinking", text(&message.reasoning)),
        ("Images", Value::List([].into())),
        (
            "ToolCalls",
            list(message.tool_calls.iter().zip(0..).map(call)),
        ),
        ("ToolName", text(&message.tool_name)),
        ("ToolCallID", text(&message.tool_call_id)),
    ])
}

fn call((call, index): (&ToolCall, i64)) -> Value {
    let function = [
        ("Index", Value::Int(index)),
        ("Name", text(&call.name)),
        ("Arguments", of_json(&parsed(&call.arguments))),
    ];
    map([("ID", text(&call.id)), ("Function", map(function))])
}

/// The member with the JSON of a map: a template that prints a tool prints this, while it accesses members by their names in Go.
pub(super) const AS_JSON: &str = "\u{1}json";

/// The tools, with their JSON for printing and with members by their names in Go.
fn tools(input: &Input<'_>) -> Value {
    list(input.tools.iter().map(tool))
}

fn tool(tool: &Tool) -> Value {
    let parameters = parsed(&tool.parameters);
    let whole = json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": parameters,
        },
    });
    let function = [
        (AS_JSON, text(&whole["function"].to_string())),
        ("Name", text(&tool.name)),
        ("Description", text(&tool.description)),
        ("Parameters", schema(&parameters)),
    ];
    map([
        (AS_JSON, text(&whole.to_string())),
        ("Type", text("function")),
        ("Function", map(function)),
    ])
}

/// A JSON Schema, with its members by their names in Go; names of properties do not change.
fn schema(schema: &Json) -> Value {
    let Json::Object(members) = schema else {
        return of_json(schema);
    };
    let members = members.iter().map(|(name, member)| {
        let value = match (name.as_str(), member) {
            ("properties", Json::Object(properties)) => {
                let properties = properties.iter();
                map_of(properties.map(|(name, part)| (name.clone(), self::schema(part))))
            }
            ("items", part) => self::schema(part),
            (_, other) => of_json(other),
        };
        (capitalized(name), value)
    });
    let as_json = (AS_JSON.to_owned(), text(&schema.to_string()));
    map_of(std::iter::once(as_json).chain(members))
}

fn capitalized(name: &str) -> String {
    let mut rest = name.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).collect()
}

/// Parses JSON that was checked before.
fn parsed(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_default()
}

fn of_json(value: &Json) -> Value {
    match value {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(value) => text(value),
        Json::Array(items) => list(items.iter().map(of_json)),
        Json::Object(members) => map_of(
            members
                .iter()
                .map(|(name, member)| (name.clone(), of_json(member))),
        ),
    }
}

fn with_thinking<const N: usize>(input: &Input<'_>, members: [(&str, Value); N]) -> Value {
    let thinking = [
        ("Think", Value::Bool(input.think.unwrap_or(false))),
        ("ThinkLevel", text(input.level)),
        ("IsThinkSet", Value::Bool(input.think.is_some())),
    ];
    map(members.into_iter().chain(thinking))
}

fn map<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    map_of(
        members
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value)),
    )
}

fn map_of(members: impl IntoIterator<Item = (String, Value)>) -> Value {
    let members: BTreeMap<Arc<str>, Value> = members
        .into_iter()
        .map(|(key, value)| (Arc::from(key), value))
        .collect();
    Value::Map(Arc::new(members))
}

fn list(items: impl Iterator<Item = Value>) -> Value {
    Value::List(items.collect::<Vec<_>>().into())
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}
