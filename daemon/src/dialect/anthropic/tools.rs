//! Tools and the choice between them.

use api::anthropic::{Tool, ToolChoice};
use runner_protocol as protocol;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::extract::plain;
use crate::ignored::IgnoredFields;
use crate::tools::{self, Function, quoted};

/// The tools of a request.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// The tools that the model may call.
    pub(super) offered: Vec<protocol::Tool>,
    /// Names of the tools of a server, which slm does not run.
    of_server: Vec<String>,
}

/// Reads the tools of a request. The invalid ones and those of a server are left out, and `ignored` names them: clients send tools
/// of a server in requests that go on without them.
///
/// # Errors
/// [`Error::Invalid`] when all tools of the client are invalid.
pub(super) fn read(given: Vec<Value>, ignored: &IgnoredFields) -> Result<Tools, Error> {
    let mut tools = Tools::default();
    let mut functions = Vec::new();
    let mut places = Vec::new();
    let mut left_out = Vec::new();
    for (place, tool) in given.into_iter().enumerate() {
        let name = tool["name"].as_str().unwrap_or_default();
        if matches!(tool["type"].as_str(), None | Some("custom")) {
            places.push(place);
            functions.push((quoted(name), function(tool)));
        } else {
            left_out.push(place);
            tools.of_server.push(name.to_owned());
        }
    }
    let offered = tools::offered(functions)?;
    left_out.extend(offered.left_out.iter().map(|tool| places[tool.place]));
    left_out.sort_unstable();
    ignored.add(left_out.iter().map(|place| format!("tools[{place}]")));
    tools.offered = offered.tools;
    Ok(tools)
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
/// [`Error::Field`] for an unknown choice and for a tool of a server, [`Error::Invalid`] for a tool that is not among the tools.
pub(super) fn choice(choice: &ToolChoice, tools: &Tools) -> Result<protocol::ToolChoice, Error> {
    let chosen = match (choice.kind.as_str(), &choice.name) {
        ("" | "auto", _) => return Ok(protocol::ToolChoice::Auto),
        ("none", _) => return Ok(protocol::ToolChoice::None),
        ("any", _) => protocol::ToolChoice::Required,
        ("tool", Some(name)) if tools.of_server.contains(name) => {
            let name = quoted(name);
            let reason = format!("is {name}, a tool of a server, and slm runs no tools");
            return Err(Error::field("tool_choice.name", reason));
        }
        ("tool", Some(name)) => protocol::ToolChoice::One(name.clone()),
        ("tool", None) => return Err(Error::field("tool_choice.name", "is missing")),
        _ => {
            return Err(Error::field(
                "tool_choice.type",
                "must be \"auto\", \"any\", \"tool\" or \"none\"",
            ));
        }
    };
    tools::chosen(chosen, &tools.offered)
}
