//! Tools and tool calls in Ollama's format.

use api::{Tool, ToolCall};
use runner_protocol::{self as protocol, ToolChoice};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::extract::plain;
use crate::tools::{self, Function, Offered, quoted};

/// Reads the tools of a request. An invalid tool is left out with a message, and the others stay.
///
/// # Errors
/// [`Error::Invalid`] when all tools are invalid.
pub(super) fn offered(tools: Vec<Value>) -> Result<Offered, Error> {
    tools::offered((1..).zip(tools).map(|(number, tool)| {
        let name = tool["function"]["name"].as_str().map(quoted);
        let label = name.unwrap_or_else(|| format!("number {number}"));
        (label, function(tool))
    }))
}

fn function(tool: Value) -> Result<Function, String> {
    let Tool { kind, function } = Tool::deserialize(tool).map_err(|why| plain(&why))?;
    if kind != "function" {
        return Err("its type must be \"function\"".into());
    }
    Ok(Function {
        name: function.name,
        description: function.description,
        parameters: function.parameters,
    })
}

/// Reads the tool choice.
///
/// # Errors
/// [`Error::Invalid`] for an unknown value, and for a tool that is not among the tools.
pub(super) fn choice(
    choice: Option<&Value>,
    tools: &[protocol::Tool],
) -> Result<ToolChoice, Error> {
    let choice = match choice {
        None | Some(Value::Null) => return Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match tools::word_choice(word) {
            Some(choice @ (ToolChoice::Auto | ToolChoice::None)) => return Ok(choice),
            other => other,
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
    tools::chosen(choice, tools)
}

/// Reads a tool call of an earlier answer.
///
/// # Errors
/// [`Error::Invalid`] for arguments that are not an object.
pub(super) fn made(call: ToolCall) -> Result<protocol::ToolCall, Error> {
    let ToolCall { id, function } = call;
    tools::made(id.unwrap_or_default(), function.name, function.arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tools(value: Value) -> Result<Vec<protocol::Tool>, Error> {
        offered(serde_json::from_value(value).unwrap()).map(|it| it.tools)
    }

    #[test]
    fn a_tool_choice_is_a_word_or_one_of_the_tools() {
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
}
