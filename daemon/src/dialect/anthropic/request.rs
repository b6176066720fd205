//! Turns the body of a request into an [`Ask`].

use api::anthropic::{
    CountTokensRequest, MessagesRequest, OutputConfig, OutputFormat, Thinking, ToolChoice,
};
use modelfile::Parameters;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::history::{self, History};
use super::tools;
use crate::ask::{Ask, Overflow};
use crate::blocking;
use crate::dialect::fields;
use crate::error::Error;
use crate::ignored::IgnoredFields;
use crate::options;
use crate::think::Effort;

/// The request for a message. `ignored` gets the names of the tools that are left out.
pub(super) async fn ask(
    arrived: Instant,
    request: MessagesRequest,
    ignored: &IgnoredFields,
) -> Result<Ask, Error> {
    refuse("container", request.container.as_ref(), "slm runs no code")?;
    refuse(
        "thread",
        request.thread.as_ref(),
        "slm stores no conversations; send all messages",
    )?;
    let mut parameters = Parameters::default();
    let numbers = [
        ("max_tokens", "num_predict", &json!(request.max_tokens)),
        ("temperature", "temperature", &json!(request.temperature)),
        ("top_p", "top_p", &json!(request.top_p)),
        ("top_k", "top_k", &json!(request.top_k)),
        ("stop_sequences", "stop", &json!(request.stop_sequences)),
    ];
    options::set_all(&mut parameters, numbers)?;
    let format = request
        .output_config
        .as_ref()
        .and_then(|config| config.format.clone());
    let shape = format
        .or(request.output_format)
        .as_ref()
        .map(shape)
        .transpose()?;
    let prompt = CountTokensRequest {
        model: request.model,
        messages: request.messages,
        system: request.system,
        thinking: request.thinking,
        output_config: request.output_config,
        tools: request.tools,
        tool_choice: request.tool_choice,
        keep_alive: request.keep_alive,
        mcp_servers: request.mcp_servers,
        ..CountTokensRequest::default()
    };
    let mut ask = prompt_ask(arrived, prompt, ignored).await?;
    ask.target.parameters = parameters;
    ask.shape = shape;
    Ok(ask)
}

/// The part of a request that decides its prompt.
pub(super) async fn prompt_ask(
    arrived: Instant,
    request: CountTokensRequest,
    ignored: &IgnoredFields,
) -> Result<Ask, Error> {
    let servers = request.mcp_servers.filter(|servers| !servers.is_empty());
    refuse(
        "mcp_servers",
        servers.map(Value::from).as_ref(),
        "slm connects to no MCP server",
    )?;
    let model = request.model.as_str();
    let target = fields::target(arrived, model, None, request.keep_alive.as_ref())?;
    if request.messages.is_empty() {
        return Err(Error::field("messages", "must have at least one message"));
    }
    let (system, messages) = (request.system, request.messages);
    let bytes = history::image_bytes(&messages);
    let History { turns, images } =
        blocking::run_sized(bytes, || history::read(system, messages)).await??;
    let tools = tools::read(request.tools.unwrap_or_default(), ignored)?;
    let choice = request.tool_choice.unwrap_or_default();
    Ok(Ask {
        images,
        tool_choice: tools::choice(&choice, &tools)?,
        parallel_tool_calls: only_one(&choice).then_some(false),
        tools: tools.offered,
        think: Some(think(
            request.thinking.as_ref(),
            request.output_config.as_ref(),
        )?),
        think_is_optional: true,
        overflow: Overflow::Refuse,
        ..Ask::new(target, turns)
    })
}

fn only_one(choice: &ToolChoice) -> bool {
    choice.disable_parallel_tool_use == Some(true)
}

/// Refuses a field that is present.
fn refuse(field: &str, value: Option<&Value>, reason: &str) -> Result<(), Error> {
    match value {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(Error::field(field, format!("is not supported: {reason}"))),
    }
}

fn think(thinking: Option<&Thinking>, config: Option<&OutputConfig>) -> Result<Effort, Error> {
    let effort = config.and_then(|config| config.effort.as_deref());
    let level = match effort {
        None => None,
        Some("xhigh") => Some(Effort::Level("max")),
        Some(level) => Some(Effort::level("output_config.effort", level).map_err(|_| {
            let reason = "must be low, medium, high, xhigh or max";
            Error::field("output_config.effort", reason)
        })?),
    };
    match thinking.map(|thinking| thinking.kind.as_str()) {
        None => Ok(level.unwrap_or(Effort::Off)),
        Some("disabled") => Ok(Effort::Off),
        Some("enabled" | "adaptive" | "between_tools") => Ok(level.unwrap_or(Effort::On)),
        Some(_) => Err(Error::field(
            "thinking.type",
            "must be \"enabled\", \"adaptive\", \"between_tools\" or \"disabled\"",
        )),
    }
}

fn shape(format: &OutputFormat) -> Result<runner_protocol::Shape, Error> {
    match (format.kind.as_str(), &format.schema) {
        ("json_schema", Some(schema)) => fields::schema(&Value::Object(schema.clone())),
        ("json_schema", None) => Err(Error::field("output_config.format.schema", "is missing")),
        _ => Err(Error::field(
            "output_config.format.type",
            "must be \"json_schema\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(thinking: Option<&str>, effort: Option<&str>) -> Result<Effort, String> {
        let thinking = thinking.map(|kind| Thinking {
            kind: kind.into(),
            ..Thinking::default()
        });
        let config = OutputConfig {
            effort: effort.map(Into::into),
            ..OutputConfig::default()
        };
        think(thinking.as_ref(), Some(&config)).map_err(|error| error.to_string())
    }

    #[test]
    fn thinking_is_off_unless_the_request_asks_for_it() {
        assert_eq!(read(None, None), Ok(Effort::Off));
        assert_eq!(read(None, Some("low")), Ok(Effort::Level("low")));
        assert_eq!(read(Some("disabled"), Some("low")), Ok(Effort::Off));
        assert_eq!(read(Some("adaptive"), None), Ok(Effort::On));
        assert_eq!(
            read(Some("enabled"), Some("xhigh")),
            Ok(Effort::Level("max"))
        );
        assert!(
            read(Some("some"), None)
                .unwrap_err()
                .contains("thinking.type")
        );
        assert!(
            read(None, Some("some"))
                .unwrap_err()
                .contains("output_config.effort")
        );
    }
}
