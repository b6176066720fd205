//! Tools that a model may call, and the calls that it makes.
//!
//! The runner holds them to its limits (`runner_protocol`); here only their shape is read.

mod parameters;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use api::{FunctionCall, Tool, ToolCall};
use runner_protocol::{
    self as protocol, MAX_TOOL_NAME, MAX_TOOL_SCHEMA, ToolCallDelta, ToolChoice,
};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::extract::plain;

/// The tools of a request.
#[derive(Debug, Default)]
pub struct Offered {
    /// What the model may call.
    pub tools: Vec<protocol::Tool>,
    /// For people: each tool that was left out, and why.
    pub left_out: Vec<String>,
}

/// Reads the tools of a request. One that cannot be offered is left out and named, and takes no other with it.
///
/// # Errors
/// [`Error::Invalid`] when not one of them can be offered.
pub fn offered(tools: Vec<Value>) -> Result<Offered, Error> {
    let mut offered = Offered::default();
    let mut names = HashSet::new();
    for (number, tool) in (1..).zip(tools) {
        let named = tool["function"]["name"].as_str().map(shown);
        match one(tool, &mut names) {
            Ok(tool) => offered.tools.push(tool),
            Err(why) => {
                let named = named.unwrap_or_else(|| format!("number {number}"));
                let why = format!("tool {named}: {why}");
                tracing::warn!("left out a tool: {why}");
                offered.left_out.push(why);
            }
        }
    }
    match offered.left_out.first() {
        Some(why) if offered.tools.is_empty() => Err(Error::Invalid(why.clone())),
        _ => Ok(offered),
    }
}

fn one(tool: Value, names: &mut HashSet<String>) -> Result<protocol::Tool, String> {
    let Tool { kind, function } = Tool::deserialize(tool).map_err(|why| plain(&why))?;
    if kind != "function" {
        return Err("its type must be \"function\"".into());
    }
    if !is_name(&function.name) {
        return Err(format!(
            "its name must have 1 to {MAX_TOOL_NAME} ASCII letters, digits and _ - . : /"
        ));
    }
    // The rules of a grammar are named after tools, and know neither case nor punctuation apart.
    let alike = |character: char| !character.is_ascii_alphanumeric();
    if !names.insert(function.name.replace(alike, "-")) {
        return Err("another tool has this name, or nearly so".into());
    }
    let parameters = parameters::read(function.parameters)?.to_string();
    if parameters.len() > MAX_TOOL_SCHEMA {
        return Err(format!(
            "its parameters take {} bytes, and at most {MAX_TOOL_SCHEMA} are allowed",
            parameters.len()
        ));
    }
    Ok(protocol::Tool {
        name: function.name,
        description: function.description,
        parameters,
    })
}

fn is_name(name: &str) -> bool {
    let is_clean = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    (1..=MAX_TOOL_NAME).contains(&name.len()) && name.bytes().all(is_clean)
}

/// Reads whether one of the tools must be called.
///
/// # Errors
/// [`Error::Invalid`] for something else, or for a tool that is not on offer.
pub fn choice(choice: Option<&Value>, tools: &[protocol::Tool]) -> Result<ToolChoice, Error> {
    let choice = match choice {
        None | Some(Value::Null) => return Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "" | "auto" => return Ok(ToolChoice::Auto),
            "none" => return Ok(ToolChoice::None),
            "required" => Some(ToolChoice::Required),
            _ => None,
        },
        Some(object) => object["function"]["name"]
            .as_str()
            .filter(|_| object["type"] == "function")
            .map(|name| ToolChoice::One(name.to_owned())),
    };
    let choice = choice.ok_or_else(|| {
        Error::Invalid(
            "tool_choice must be \"auto\", \"none\", \"required\", or {\"type\": \"function\", \"function\": {\"name\": \"…\"}}".into(),
        )
    })?;
    if tools.is_empty() {
        return Err(Error::Invalid(
            "tool_choice asks for a call, but there are no tools".into(),
        ));
    }
    match &choice {
        ToolChoice::One(name) if !tools.iter().any(|tool| tool.name == *name) => {
            Err(Error::Invalid(format!(
                "tool_choice names {}, which is not among the tools",
                shown(name)
            )))
        }
        _ => Ok(choice),
    }
}

/// Reads the calls of an earlier answer. Their arguments may be an object or a text that holds one; what clients write for
/// none is none.
///
/// # Errors
/// [`Error::Invalid`] names the function.
pub fn made(calls: Vec<ToolCall>) -> Result<Vec<protocol::ToolCall>, Error> {
    calls
        .into_iter()
        .map(|ToolCall { id, function }| {
            let arguments = arguments(function.arguments).map_err(|why| {
                let name = shown(&function.name);
                Error::Invalid(format!("the arguments of a call of {name} {why}"))
            })?;
            Ok(protocol::ToolCall {
                id: id.unwrap_or_default(),
                name: function.name,
                arguments,
            })
        })
        .collect()
}

/// The arguments of a call as the text of a JSON object.
fn arguments(given: Value) -> Result<String, String> {
    let (text, value) = match given {
        Value::String(text) if text.trim().is_empty() => (None, Value::Null),
        Value::String(text) => {
            let value = serde_json::from_str(&text).map_err(|why| {
                format!("must be an object, and are a text that is no JSON: {why}")
            })?;
            (Some(text), value)
        }
        other => (None, other),
    };
    match value {
        // PHP writes an empty object as an empty list.
        Value::Null => Ok("{}".to_owned()),
        Value::Array(items) if items.is_empty() => Ok("{}".to_owned()),
        // A text stays as it is, for templates that show it.
        object @ Value::Object(_) => Ok(text.unwrap_or_else(|| object.to_string())),
        _ => Err("must be an object".to_owned()),
    }
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}

/// The calls of an answer, while it comes.
#[derive(Debug, Default)]
pub struct Calls {
    /// The one that may still grow.
    open: Option<Open>,
}

#[derive(Debug, Default)]
struct Open {
    index: u32,
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    /// Adds what came, and returns the calls that are whole now because another began.
    ///
    /// # Errors
    /// As [`Calls::finish`].
    pub fn add(&mut self, deltas: Vec<ToolCallDelta>) -> Result<Vec<ToolCall>, Error> {
        let mut whole = Vec::new();
        for delta in deltas {
            match &mut self.open {
                Some(open) if open.index == delta.index => open.arguments += &delta.arguments,
                open => {
                    let begun = Open {
                        index: delta.index,
                        id: delta.id,
                        name: delta.name,
                        arguments: delta.arguments,
                    };
                    whole.extend(open.replace(begun).map(Open::close).transpose()?);
                }
            }
        }
        Ok(whole)
    }

    /// The last call. One that was cut is none, unless the cut came right behind it.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for a call that the runner says is whole, and whose arguments are no JSON object.
    pub fn finish(&mut self, was_cut: bool) -> Result<Option<ToolCall>, Error> {
        let last = self.open.take();
        match last
            .filter(|open| !was_cut || !open.arguments.is_empty())
            .map(Open::close)
        {
            Some(Err(_)) if was_cut => Ok(None),
            last => last.transpose(),
        }
    }
}

impl Open {
    fn close(self) -> Result<ToolCall, Error> {
        let arguments = match self.arguments.trim() {
            "" => Value::Object(serde_json::Map::new()),
            text => match serde_json::from_str(text) {
                Ok(object @ Value::Object(_)) => object,
                _ => {
                    return Err(Error::Unreadable(format!(
                        "the model called {} with arguments that are no JSON object: {}",
                        shown(&self.name),
                        shown(text)
                    )));
                }
            },
        };
        let id = if self.id.is_empty() {
            new_id()
        } else {
            self.id
        };
        Ok(ToolCall {
            id: Some(id),
            function: FunctionCall {
                index: Some(self.index),
                name: self.name,
                arguments,
            },
        })
    }
}

/// `call_` and eight letters and digits, at random.
fn new_id() -> String {
    const SIGNS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    // Each state has keys of its own.
    let bits = RandomState::new().hash_one(0);
    let signs = (0..8).map(|place| char::from(SIGNS[(bits >> (5 * place)) as usize % SIGNS.len()]));
    format!("call_{}", signs.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn delta(index: u32, name: &str, arguments: &str) -> ToolCallDelta {
        ToolCallDelta {
            index,
            id: String::new(),
            name: name.into(),
            arguments: arguments.into(),
        }
    }

    fn tools(value: Value) -> Result<Vec<protocol::Tool>, Error> {
        offered(serde_json::from_value(value).unwrap()).map(|it| it.tools)
    }

    #[test]
    fn a_choice_is_a_word_or_one_of_the_tools() {
        let weather = tools(json!([{"function": {"name": "weather"}}])).unwrap();
        let read = |value: Value| choice(Some(&value), &weather);
        let one = |name: &str| json!({"type": "function", "function": {"name": name}});
        assert_eq!(choice(None, &[]).unwrap(), ToolChoice::Auto);
        assert_eq!(read(json!(null)).unwrap(), ToolChoice::Auto);
        assert_eq!(read(json!("none")).unwrap(), ToolChoice::None);
        assert_eq!(read(json!("required")).unwrap(), ToolChoice::Required);
        let chosen = ToolChoice::One("weather".into());
        assert_eq!(read(one("weather")).unwrap(), chosen);
        for (wrong, expected) in [
            (json!("weather"), "must be"),
            (json!(1), "must be"),
            (json!({"function": {"name": "weather"}}), "must be"),
            (one("news"), "\"news\""),
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = choice(Some(&json!("required")), &[]).unwrap_err();
        assert!(error.to_string().contains("no tools"), "{error}");
    }

    #[test]
    fn a_tool_is_a_function_with_a_schema() {
        let read = tools(json!([
            {"type": "function", "function": {"name": "f", "description": "does", "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}}},
            {"function": {"name": "g", "description": null}},
        ]))
        .unwrap();
        assert_eq!(
            read[0].parameters, r#"{"type":"object","properties":{"b":{},"a":{}}}"#,
            "the order is that of the client"
        );
        assert_eq!(
            (read[1].parameters.as_str(), read[1].description.as_str()),
            (r#"{"type":"object","properties":{}}"#, "")
        );
        for (wrong, expected) in [
            (
                json!([{"type": "browser", "function": {"name": "f"}}]),
                "type must be",
            ),
            (
                json!([{"function": {"name": "f", "parameters": [1]}}]),
                "an object",
            ),
        ] {
            let error = tools(wrong).unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("\"f\""),
                "{error}"
            );
        }
    }

    #[test]
    fn arguments_are_an_object_or_a_text_of_one() {
        let read = |arguments: Value| {
            made(vec![ToolCall {
                id: None,
                function: FunctionCall {
                    name: "f".into(),
                    arguments,
                    ..FunctionCall::default()
                },
            }])
            .map(|calls| calls[0].arguments.clone())
        };
        assert_eq!(read(json!({"b": 1, "a": 2})).unwrap(), r#"{"b":1,"a":2}"#);
        assert_eq!(read(json!("{\"a\": 1}")).unwrap(), "{\"a\": 1}");
        assert_eq!(read(Value::Null).unwrap(), "{}");
        assert!(read(json!("a")).is_err());
        assert!(read(json!([1])).is_err());
    }

    #[test]
    fn a_call_is_whole_when_the_next_begins_or_the_answer_ends() {
        let mut calls = Calls::default();
        assert!(
            calls
                .add(vec![delta(0, "f", "{\"a\":")])
                .unwrap()
                .is_empty()
        );
        let first = calls
            .add(vec![delta(0, "", " 1}"), delta(1, "g", "")])
            .unwrap();
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].function.name, "f");
        assert_eq!(first[0].function.arguments, json!({"a": 1}));
        let last = calls.finish(false).unwrap().unwrap();
        assert_eq!(
            (last.function.index, last.function.name.as_str()),
            (Some(1), "g")
        );
        assert_eq!(last.function.arguments, json!({}));
        assert_ne!(first[0].id, last.id);
        assert_eq!(calls.finish(false).unwrap(), None);
    }

    #[test]
    fn a_call_that_was_cut_is_none() {
        let mut calls = Calls::default();
        calls.add(vec![delta(0, "f", "{\"a\":")]).unwrap();
        assert_eq!(calls.finish(true).unwrap(), None);
        calls.add(vec![delta(0, "f", "")]).unwrap();
        assert_eq!(calls.finish(true).unwrap(), None);
        calls.add(vec![delta(0, "f", "{\"a\": 1}")]).unwrap();
        assert!(calls.finish(true).unwrap().is_some());
        for broken in ["{", "[1]", "1", "{} {}"] {
            calls.add(vec![delta(0, "f", broken)]).unwrap();
            let error = calls.finish(false).unwrap_err();
            assert!(matches!(error, Error::Unreadable(_)), "{error:?}");
            let words = error.to_string();
            assert!(
                words.contains("\"f\"") && words.contains("no JSON object"),
                "{words}"
            );
        }
    }

    #[test]
    fn an_id_of_the_model_stays() {
        let mut calls = Calls::default();
        let named = ToolCallDelta {
            id: "abc".into(),
            ..delta(0, "f", "{}")
        };
        calls.add(vec![named]).unwrap();
        let call = calls.finish(false).unwrap().unwrap();
        assert_eq!(call.id.as_deref(), Some("abc"));
        let id = new_id();
        assert!(id.len() == 13 && id.starts_with("call_"), "{id}");
    }
}
