//! Tools that a model may call, and the calls that it makes.
//!
//! The runner holds them to its limits (`runner::protocol`); here only their shape is read.

use std::hash::{BuildHasher, RandomState};

use api::{FunctionCall, Tool, ToolCall};
use runner::protocol::{self, ToolCallDelta, ToolChoice};
use serde_json::Value;

use crate::error::Error;

/// What a tool without parameters takes.
const NOTHING: &str = r#"{"type":"object","properties":{}}"#;

/// Reads the tools of a request.
///
/// # Errors
/// [`Error::Invalid`] names the tool.
pub fn offered(tools: Vec<Tool>) -> Result<Vec<protocol::Tool>, Error> {
    tools
        .into_iter()
        .map(|Tool { kind, function }| {
            let name = function.name;
            let wrong = |why: &str| Err(Error::Invalid(format!("tool {}: {why}", shown(&name))));
            if kind != "function" {
                return wrong("its type must be \"function\"");
            }
            let parameters = match function.parameters {
                Value::Null => NOTHING.to_owned(),
                Value::Object(members) if members.is_empty() => NOTHING.to_owned(),
                schema @ Value::Object(_) => schema.to_string(),
                _ => return wrong("its parameters must be a JSON Schema, an object"),
            };
            Ok(protocol::Tool {
                name,
                description: function.description,
                parameters,
            })
        })
        .collect()
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

/// Reads the calls of an earlier answer.
///
/// # Errors
/// [`Error::Invalid`] names the function.
pub fn made(calls: Vec<ToolCall>) -> Result<Vec<protocol::ToolCall>, Error> {
    calls
        .into_iter()
        .map(|ToolCall { id, function }| {
            let arguments = match function.arguments {
                Value::Null => "{}".to_owned(),
                Value::String(text) if is_object(&text) => text,
                object @ Value::Object(_) => object.to_string(),
                _ => {
                    return Err(Error::Invalid(format!(
                        "the arguments of a call of {} must be an object",
                        shown(&function.name)
                    )));
                }
            };
            Ok(protocol::ToolCall {
                id: id.unwrap_or_default(),
                name: function.name,
                arguments,
            })
        })
        .collect()
}

fn is_object(text: &str) -> bool {
    matches!(serde_json::from_str(text), Ok(Value::Object(_)))
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
    /// [`Error::Internal`] for a call that the runner says is whole, and whose arguments are not.
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
            text => serde_json::from_str(text).map_err(|_| Error::Internal)?,
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
        offered(serde_json::from_value(value).unwrap())
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
            (NOTHING, "")
        );
        for (wrong, expected) in [
            (
                json!([{"type": "browser", "function": {"name": "f"}}]),
                "type must be",
            ),
            (
                json!([{"function": {"name": "f", "parameters": []}}]),
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
        calls.add(vec![delta(0, "f", "{")]).unwrap();
        assert!(calls.finish(false).is_err());
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
