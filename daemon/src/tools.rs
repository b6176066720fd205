//! Tools that a model may call, and the tool calls in earlier turns.
//!
//! Names and schemas are checked here; the runner checks its other limits (`runner_protocol`).

mod parameters;

use std::collections::HashSet;

use runner_protocol::{self as protocol, MAX_TOOL_NAME, MAX_TOOL_SCHEMA, ToolChoice};
use serde_json::Value;

use crate::error::Error;

/// A function as a client describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its description for the model.
    pub description: String,
    /// JSON Schema of its parameters.
    pub parameters: Value,
}

/// A tool that was left out.
#[derive(Debug)]
pub struct LeftOut {
    /// Its place among the given functions, from 0.
    pub place: usize,
    /// The reason, for people.
    pub why: String,
}

/// The tools of a request.
#[derive(Debug, Default)]
pub struct Offered {
    /// The tools that the model may call.
    pub tools: Vec<protocol::Tool>,
    /// The tools that were left out.
    pub left_out: Vec<LeftOut>,
}

/// Checks the tools of a request, each with a label for messages. An invalid tool is left out with a message, and the others stay.
///
/// # Errors
/// [`Error::Invalid`] when all tools are invalid.
pub fn offered(
    functions: impl IntoIterator<Item = (String, Result<Function, String>)>,
) -> Result<Offered, Error> {
    let mut offered = Offered::default();
    let mut names = HashSet::new();
    for (place, (label, function)) in functions.into_iter().enumerate() {
        match function.and_then(|function| tool(function, &mut names)) {
            Ok(tool) => offered.tools.push(tool),
            Err(why) => {
                let why = format!("tool {label}: {why}");
                tracing::warn!("left out a tool: {why}");
                offered.left_out.push(LeftOut { place, why });
            }
        }
    }
    match offered.left_out.first() {
        Some(first) if offered.tools.is_empty() => Err(Error::Invalid(first.why.clone())),
        _ => Ok(offered),
    }
}

fn tool(function: Function, names: &mut HashSet<String>) -> Result<protocol::Tool, String> {
    if !is_name(&function.name) {
        return Err(format!(
            "its name must have 1 to {MAX_TOOL_NAME} ASCII letters, digits and _ - . : /"
        ));
    }
    // Grammar rules are named after tools, and their names have only letters, digits and hyphens.
    let is_replaced = |character: char| !character.is_ascii_alphanumeric();
    if !names.insert(function.name.replace(is_replaced, "-")) {
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

/// The tool choice that a word stands for in the dialects of Ollama and OpenAI; an empty word is `auto`.
pub fn word_choice(word: &str) -> Option<ToolChoice> {
    match word {
        "" | "auto" => Some(ToolChoice::Auto),
        "none" => Some(ToolChoice::None),
        "required" => Some(ToolChoice::Required),
        _ => None,
    }
}

/// Checks a tool choice against the tools of the request.
///
/// # Errors
/// [`Error::Invalid`] for a tool that is not among them, and without tools.
pub fn chosen(choice: ToolChoice, tools: &[protocol::Tool]) -> Result<ToolChoice, Error> {
    if tools.is_empty() {
        return Err(Error::Invalid(
            "tool_choice asks for a call, but there are no tools".into(),
        ));
    }
    match &choice {
        ToolChoice::One(name) if !tools.iter().any(|tool| tool.name == *name) => {
            Err(Error::Invalid(format!(
                "tool_choice names {}, which is not among the tools",
                quoted(name)
            )))
        }
        _ => Ok(choice),
    }
}

/// A tool call of an earlier answer. Its arguments are an object, or a text with one; null, an empty text and an empty list count as
/// an empty object.
///
/// # Errors
/// [`Error::Invalid`] names the function.
pub fn made(id: String, name: String, arguments: Value) -> Result<protocol::ToolCall, Error> {
    let arguments = self::arguments(arguments).map_err(|why| {
        let name = quoted(&name);
        Error::Invalid(format!("the arguments of a call of {name} {why}"))
    })?;
    Ok(protocol::ToolCall {
        id,
        name,
        arguments,
    })
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
        // A text stays as it is, because templates print it.
        object @ Value::Object(_) => Ok(text.unwrap_or_else(|| object.to_string())),
        _ => Err("must be an object".to_owned()),
    }
}

/// A text of the client for a message: in quotes, and short.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn function(name: &str, parameters: Value) -> (String, Result<Function, String>) {
        let function = Function {
            name: name.into(),
            description: "does".into(),
            parameters,
        };
        (quoted(name), Ok(function))
    }

    #[test]
    fn a_tool_choice_names_one_of_the_tools() {
        let tools = offered([function("weather", json!(null))]).unwrap().tools;
        assert_eq!(
            chosen(ToolChoice::Required, &tools).unwrap(),
            ToolChoice::Required
        );
        let weather = ToolChoice::One("weather".into());
        assert_eq!(chosen(weather.clone(), &tools).unwrap(), weather);
        let error = chosen(ToolChoice::One("news".into()), &tools).unwrap_err();
        assert!(error.to_string().contains("\"news\""), "{error}");
        let error = chosen(ToolChoice::Required, &[]).unwrap_err();
        assert!(error.to_string().contains("no tools"), "{error}");
    }

    #[test]
    fn an_invalid_tool_is_left_out_and_the_others_stay() {
        let schema = json!({"type": "object", "properties": {"b": {}, "a": {}}});
        let offered = offered([
            function("f", schema.clone()),
            ("\"b\"".into(), Err("its type must be \"function\"".into())),
            function("g", json!([1])),
            function("f", json!(null)),
        ])
        .unwrap();
        assert_eq!(offered.tools.len(), 1);
        assert_eq!(
            offered.tools[0].parameters,
            schema.to_string(),
            "the order is that of the client"
        );
        assert_eq!(offered.left_out.len(), 3, "{:?}", offered.left_out);
        let error = super::offered([function("", json!(null))]).unwrap_err();
        assert!(error.to_string().contains("its name must have"), "{error}");
    }

    #[test]
    fn arguments_are_an_object_or_a_text_with_one() {
        let read = |arguments: Value| {
            made(String::new(), "f".into(), arguments).map(|call| call.arguments)
        };
        assert_eq!(read(json!({"b": 1, "a": 2})).unwrap(), r#"{"b":1,"a":2}"#);
        assert_eq!(read(json!("{\"a\": 1}")).unwrap(), "{\"a\": 1}");
        assert_eq!(read(Value::Null).unwrap(), "{}");
        assert!(read(json!("a")).is_err());
        assert!(read(json!([1])).is_err());
    }
}
