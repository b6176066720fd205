//! Tools and the choice between them.

use api::anthropic::{Tool, ToolChoice};
use runner_protocol as protocol;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::extract::plain;
use crate::tools::{self, Function, quoted};

/// The tools of a request, without those of a server, which slm does not have.
///
/// # Errors
/// [`Error::Invalid`] when all other tools are invalid.
pub(super) fn offered(tools: Vec<Value>) -> Result<Vec<protocol::Tool>, Error> {
    let functions = tools.into_iter().filter_map(|tool| {
        let label = tool["name"].as_str().map(quoted).unwrap_or_default();
        match tool["type"].as_str() {
            None | Some("custom") => Some((label, function(tool))),
            Some(kind) => {
                tracing::debug!(kind = quoted(kind), "left out a tool of a server");
                None
            }
        }
    });
    Ok(tools::offered(functions)?.tools)
}

fn function(tool: Value) -> Result<Function, String> {
    let tool = Tool::deserialize(tool).map_err(|why| plain(&why))?;
    Ok(Function {
        name: tool.name,
        description: tool.description.unwrap_or_default(),
        parameters: tool.input_schema,
    })
}

/// Reads the tool choice.
///
/// # Errors
/// [`Error::Field`] for an unknown choice, [`Error::Invalid`] for a tool that is not among the tools.
pub(super) fn choice(
    choice: &ToolChoice,
    tools: &[protocol::Tool],
) -> Result<protocol::ToolChoice, Error> {
    let chosen = match (choice.kind.as_str(), &choice.name) {
        ("" | "auto", _) => return Ok(protocol::ToolChoice::Auto),
        ("none", _) => return Ok(protocol::ToolChoice::None),
        ("any", _) => protocol::ToolChoice::Required,
        ("tool", Some(name)) => protocol::ToolChoice::One(name.clone()),
        ("tool", None) => return Err(Error::field("tool_choice.name", "is missing")),
        _ => {
            return Err(Error::field(
                "tool_choice.type",
                "must be \"auto\", \"any\", \"tool\" or \"none\"",
            ));
        }
    };
    tools::chosen(chosen, tools)
}
