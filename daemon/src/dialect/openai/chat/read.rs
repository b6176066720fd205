//! Reads a request into an [`Ask`].

use std::collections::BTreeMap;

use api::openai::ChatRequest;
use runner_protocol::Variable;
use serde_json::{Map, Value, json};

use super::super::sampling::{self, MAX_CHOICES, TargetFields};
use super::super::tools::{Names, Tools};
use super::super::{effort, format, logprobs, messages};
use super::Style;
use crate::ask::Ask;
use crate::blocking;
use crate::dialect::fields;
use crate::error::Error;
use crate::think::Effort;

/// A request that was read.
pub(super) struct Plan {
    /// The ask of each choice.
    pub(super) ask: Ask,
    /// Number of choices.
    pub(super) count: u32,
    /// What the answer shows.
    pub(super) style: Style,
    /// The tools that are not offered, such as `tools[2]`.
    pub(super) left_out: Vec<String>,
    /// The names of functions in namespaces.
    pub(super) names: Names,
}

/// Reads a request.
///
/// # Errors
/// [`Error::Field`] names the field.
pub(super) async fn read(mut request: ChatRequest) -> Result<Plan, Error> {
    check(&request)?;
    let target = sampling::target(TargetFields {
        model: request.model.as_deref(),
        options: request.options.as_ref(),
        keep_alive: request.keep_alive.as_ref(),
        parameters: parameters(&request),
        stop: request.stop.as_ref(),
    })?;
    let count = sampling::whole("n", request.n.as_ref(), 1..=MAX_CHOICES)?.unwrap_or(1);
    let given = request.messages.take().unwrap_or_default();
    if given.is_empty() {
        return Err(Error::field("messages", "must have at least one message"));
    }
    let bytes = messages::image_bytes(&given);
    let (turns, images) = blocking::run_sized(bytes, move || messages::read(given)).await??;
    let functions = request.functions.is_some();
    let given = given_tools(&mut request)?;
    let in_older_form = |error| match functions {
        true => renamed(error),
        false => error,
    };
    let mut tools = Tools::read(&given).map_err(in_older_form)?;
    let field = if functions { "functions" } else { "tools" };
    let left_out = tools.skipped.iter().map(|tool| tool.field(field)).collect();
    let tool_choice = tools.choose(request.tool_choice.as_ref());
    let tool_choice = tool_choice.map_err(in_older_form)?;
    let (variables, of_template) = variables(request.chat_template_kwargs.take())?;
    let think = effort::of_request(
        request.think.as_ref(),
        request.reasoning_effort.as_deref(),
        request.reasoning.as_ref(),
    )?;
    let ask = Ask {
        images,
        tools: tools.offered,
        tool_choice,
        // The older form has room for one call.
        parallel_tool_calls: match functions {
            true => Some(false),
            false => request.parallel_tool_calls,
        },
        variables,
        think: think.or(of_template),
        think_is_optional: true,
        shape: format::shape(
            request.response_format.as_ref(),
            request.json_schema.as_ref(),
            request.grammar.as_deref(),
        )?,
        logprobs: logprobs::wanted(
            request.logprobs,
            request.top_logprobs.as_ref(),
            request.n_probs.as_ref(),
        )?,
        biases: sampling::biases(request.logit_bias.as_ref())?,
        adapters: fields::adapters(request.lora.as_deref()),
        deterministic: request.deterministic,
        ..Ask::new(target, turns)
    };
    let usage = request.stream_options.and_then(|it| it.include_usage);
    Ok(Plan {
        ask,
        count,
        style: Style {
            usage: usage == Some(true),
            timings: request.timings_per_token == Some(true),
            progress: request.return_progress == Some(true),
            functions,
        },
        left_out,
        names: tools.names,
    })
}

/// Refuses fields that ask for something that slm does not have.
fn check(request: &ChatRequest) -> Result<(), Error> {
    let is_given = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
    if let Some((field, reason)) = request.refused() {
        return Err(Error::field(field, reason));
    }
    let mut modalities = request.modalities.iter().flatten();
    let refused = [
        (
            "audio",
            is_given(&request.audio),
            "is not supported: slm has no voice",
        ),
        (
            "modalities",
            modalities.any(|it| it != "text"),
            "may only have text",
        ),
        (
            "web_search_options",
            is_given(&request.web_search_options),
            "is not supported: slm does not search the web",
        ),
        (
            "moderation",
            is_given(&request.moderation),
            "is not supported: slm does not moderate",
        ),
        (
            "functions",
            request.functions.is_some() && request.tools.is_some(),
            "goes without tools",
        ),
    ];
    match refused.into_iter().find(|(_, is_refused, _)| *is_refused) {
        Some((field, _, reason)) => Err(Error::field(field, reason)),
        None => Ok(()),
    }
}

fn parameters(request: &ChatRequest) -> Vec<(&'static str, &'static str, &Value)> {
    let mut parameters = request.parameters();
    let most = request.max_completion_tokens.as_ref();
    parameters.extend(most.map(|most| ("max_completion_tokens", "num_predict", most)));
    parameters
}

/// The tools of a request, and those of the older form, whose choice becomes the choice of a tool.
fn given_tools(request: &mut ChatRequest) -> Result<Vec<Value>, Error> {
    let Some(functions) = request.functions.take() else {
        return Ok(request.tools.take().unwrap_or_default());
    };
    request.tool_choice = match request.function_call.take() {
        None | Some(Value::Null) => None,
        Some(Value::Object(choice)) => Some(json!({"type": "function", "function": choice})),
        Some(word) if word == "auto" || word == "none" => Some(word),
        Some(_) => {
            let reason = "must be \"auto\", \"none\" or {\"name\": \"…\"}";
            return Err(Error::field("function_call", reason));
        }
    };
    let tool = |function: Value| json!({"type": "function", "function": function});
    Ok(functions.into_iter().map(tool).collect())
}

/// The error with the name that its field has in the older form.
fn renamed(error: Error) -> Error {
    let name = match error.param() {
        Some("tools") => "functions",
        Some("tool_choice") => "function_call",
        _ => return error,
    };
    match error {
        Error::Field { reason, .. } => Error::field(name, reason),
        other => other,
    }
}

/// The variables of the chat template, and the thinking that one of them turns on or off.
fn variables(
    given: Option<Map<String, Value>>,
) -> Result<(BTreeMap<String, Variable>, Option<Effort>), Error> {
    let mut variables = BTreeMap::new();
    let mut think = None;
    for (name, value) in given.unwrap_or_default() {
        if value.is_null() {
            continue;
        }
        if let Some(effort) = effort::of_variable(&name, &value)? {
            think = Some(effort);
            continue;
        }
        let variable = match value {
            Value::Bool(flag) => Some(Variable::Flag(flag)),
            Value::Number(number) => number.as_i64().map(Variable::Number),
            Value::String(text) => Some(Variable::Text(text)),
            _ => None,
        };
        let variable = variable.ok_or_else(|| {
            let field = format!(
                "chat_template_kwargs.{}",
                name.chars().take(40).collect::<String>()
            );
            Error::field(field, "must be true, false, a whole number or a text")
        })?;
        variables.insert(name, variable);
    }
    Ok((variables, think))
}
