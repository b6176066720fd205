//! Reads a request into an [`Ask`], and into the response that will answer it.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::openai::responses::{
    ConversationId, ReasoningOptions, Response, ResponseRequest, ResponseStatus, ResponseType,
    TextOptions,
};
use jiff::Timestamp;
use registry::Capability;
use runner_protocol::Shape;
use serde_json::{Value, json};

use super::super::effort;
use super::super::format::of_schema;
use super::super::sampling::{self, TargetFields};
use super::super::tools::Tools;
use super::builder::{ResponseBuilder, Wants};
use super::items::{self, Reader};
use super::{context, ids};
use crate::app::App;
use crate::ask::{Ask, Overflow};
use crate::blocking;
use crate::dialect::fields;
use crate::error::Error;
use crate::requirements;
use crate::think::Effort;
use crate::turn::{Role, Turn};

/// Values of `include`; the last two have a meaning here.
const INCLUDABLE: &[&str] = &[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    ENCRYPTED,
    LOGPROBS,
];
const ENCRYPTED: &str = "reasoning.encrypted_content";
const LOGPROBS: &str = "message.output_text.logprobs";

/// Most pairs of metadata, and the longest name and text in characters.
const METADATA: (usize, usize, usize) = (16, 64, 512);

/// A request that was read.
pub(super) struct Plan {
    /// The request for the model.
    pub(super) ask: Ask,
    /// Makes the response.
    pub(super) builder: ResponseBuilder,
    /// The items of the request.
    pub(super) input: Arc<Vec<Value>>,
}

/// Reads a request.
///
/// # Errors
/// [`Error::Field`] names the field.
pub(super) async fn read(app: &App, mut request: ResponseRequest) -> Result<Plan, Error> {
    check(&request)?;
    let model = request.model.clone().unwrap_or_default();
    let target = sampling::target(TargetFields {
        model: Some(&model),
        options: request.options.as_ref(),
        keep_alive: request.keep_alive.as_ref(),
        parameters: parameters(&request).collect(),
        stop: None,
    })?;
    let conversation = request.conversation.as_ref().map(|it| it.id().to_owned());
    let before = context::before(
        &app.responses,
        request.previous_response_id.as_deref(),
        conversation.as_deref(),
    )
    .await?;
    let input = items::complete(request.input.take().unwrap_or_default(), "input")?;
    let input = context::with_referenced(&app.responses, input, &before).await?;
    if input.is_empty() && before.is_empty() {
        return Err(Error::field("input", "is required"));
    }
    let found = app.registry.model(&target.model).await?;
    let sees_images = requirements::may_have(&found, Capability::Vision);
    let (turns, images, input) =
        turns(request.instructions.as_deref(), before, input, sees_images).await?;
    let mut tools = Tools::read(request.tools.as_deref().unwrap_or_default())?;
    let tool_choice = tools.choose(request.tool_choice.as_ref())?;
    let text = request.text.clone().unwrap_or_default();
    let shape = shape(text.format.as_ref())?;
    let reasoning = request.reasoning.clone().unwrap_or_default();
    let include = |name: &str| request.include.iter().flatten().any(|it| it == name);
    let top = request.top_logprobs.unwrap_or(0);
    let logprobs = include(LOGPROBS) || top > 0;
    let ask = Ask {
        images,
        tools: std::mem::take(&mut tools.offered),
        tool_choice,
        parallel_tool_calls: request.parallel_tool_calls,
        think: reasoning_effort(reasoning.effort.as_deref())?,
        think_is_optional: true,
        shape,
        logprobs: fields::logprobs(Some(logprobs), request.top_logprobs)
            .map_err(|error| Error::field("top_logprobs", error.to_string()))?,
        overflow: match request.truncation.as_deref() {
            Some("auto") => Overflow::DropTurns,
            _ => Overflow::Refuse,
        },
        ..Ask::new(target, turns)
    };
    let wants = Wants {
        summary: reasoning.summary.is_some() || reasoning.generate_summary.is_some(),
        encrypted: include(ENCRYPTED),
    };
    let skipped = tools.skipped.into_iter().map(|tool| tool.why).collect();
    let warnings = warnings(&request, skipped);
    let store = app.responses.is_on() && request.store != Some(false);
    let response = response(request, model, store, text, reasoning, warnings);
    Ok(Plan {
        ask,
        builder: ResponseBuilder::new(response, wants, tools.names),
        input: Arc::new(input),
    })
}

/// The turns of all items, which may be many.
async fn turns(
    instructions: Option<&str>,
    before: Vec<Value>,
    input: Vec<Value>,
    sees_images: bool,
) -> Result<(Vec<Turn>, crate::images::Images, Vec<Value>), Error> {
    let mut reader = Reader::new(sees_images);
    if let Some(text) = instructions.filter(|text| !text.is_empty()) {
        reader.turns.push(Turn::text(Role::System, text));
    }
    let bytes = before.iter().chain(&input).map(items::bytes).sum();
    blocking::run_sized(bytes, move || {
        reader.read(&before, "previous_response_id")?;
        reader.read(&input, "input")?;
        Ok((reader.turns, reader.images, input))
    })
    .await?
}

/// Checks the fields that stand alone.
fn check(request: &ResponseRequest) -> Result<(), Error> {
    if request
        .prompt
        .as_ref()
        .is_some_and(|prompt| !prompt.is_null())
    {
        return Err(Error::field(
            "prompt",
            "names a saved prompt, and slm has none",
        ));
    }
    let is_one_of = |field: &str, given: Option<&str>, words: &[&str]| match given {
        Some(word) if !words.contains(&word) => Err(Error::field(
            field,
            format!("must be one of {}", words.join(", ")),
        )),
        _ => Ok(()),
    };
    is_one_of(
        "truncation",
        request.truncation.as_deref(),
        &["auto", "disabled"],
    )?;
    let verbosity = request
        .text
        .as_ref()
        .and_then(|text| text.verbosity.as_deref());
    is_one_of("text.verbosity", verbosity, &["low", "medium", "high"])?;
    for (index, name) in request.include.iter().flatten().enumerate() {
        is_one_of(&format!("include[{index}]"), Some(name), INCLUDABLE)?;
    }
    let tokens = request
        .max_output_tokens
        .as_ref()
        .filter(|value| !value.is_null());
    if tokens.is_some_and(|value| value.as_u64().is_none_or(|tokens| tokens == 0)) {
        let reason = "must be a whole number from 1";
        return Err(Error::field("max_output_tokens", reason));
    }
    check_metadata(request.metadata.as_ref())
}

/// Checks the number and the length of metadata.
///
/// # Errors
/// [`Error::Field`] with the limits.
pub(super) fn check_metadata(metadata: Option<&BTreeMap<String, String>>) -> Result<(), Error> {
    let (pairs, name, text) = METADATA;
    let metadata = metadata.into_iter().flatten();
    let is_long = |(key, value): (&String, &String)| {
        key.chars().count() > name || value.chars().count() > text
    };
    if metadata.clone().count() > pairs || metadata.clone().any(is_long) {
        let reason =
            format!("may have {pairs} texts of {text} characters, with names of {name} characters");
        return Err(Error::field("metadata", reason));
    }
    Ok(())
}

/// The fields that set a parameter of a Modelfile.
fn parameters(
    request: &ResponseRequest,
) -> impl Iterator<Item = (&'static str, &'static str, &Value)> {
    let most = &request.max_output_tokens;
    let fields = [
        ("temperature", "temperature", &request.temperature),
        ("top_p", "top_p", &request.top_p),
        ("max_output_tokens", "num_predict", most),
    ];
    fields
        .into_iter()
        .filter_map(|(field, parameter, value)| Some((field, parameter, value.as_ref()?)))
}

/// The constraint of `text.format`.
fn shape(format: Option<&Value>) -> Result<Option<Shape>, Error> {
    let Some(format) = format.filter(|format| !format.is_null()) else {
        return Ok(None);
    };
    match format["type"].as_str() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(Shape::Json)),
        Some("json_schema") => {
            // Chat completions have one more level.
            let schema = [&format["schema"], &format["json_schema"]["schema"]];
            let schema = schema.into_iter().find(|schema| schema.is_object());
            of_schema("text.format.schema", schema.unwrap_or(&Value::Null)).map(Some)
        }
        _ => Err(Error::field(
            "text.format.type",
            "must be text, json_object or json_schema",
        )),
    }
}

/// The thinking of `reasoning.effort`; an empty word counts as absent.
fn reasoning_effort(word: Option<&str>) -> Result<Option<Effort>, Error> {
    let word = word.filter(|word| !word.is_empty());
    word.map(|word| effort::of_word("reasoning.effort", word))
        .transpose()
}

/// What was left out of the request, for people.
fn warnings(request: &ResponseRequest, skipped: Vec<String>) -> Vec<String> {
    let is_set = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
    let mut warnings = skipped;
    if is_set(&request.context_management) {
        warnings.push("context_management has no effect: slm does not compact a context".into());
    }
    if is_set(&request.moderation) {
        warnings.push("moderation has no effect: slm does not moderate".into());
    }
    warnings
}

/// The response before it begins.
fn response(
    request: ResponseRequest,
    model: String,
    store: bool,
    mut text: TextOptions,
    reasoning: ReasoningOptions,
    warnings: Vec<String>,
) -> Response {
    text.format.get_or_insert_with(|| json!({"type": "text"}));
    Response {
        id: ids::new("resp"),
        object: ResponseType::Response,
        created_at: Timestamp::now().as_second(),
        completed_at: None,
        status: ResponseStatus::InProgress,
        error: None,
        incomplete_details: None,
        model,
        output: Vec::new(),
        usage: None,
        instructions: request.instructions,
        previous_response_id: request.previous_response_id,
        conversation: request.conversation.map(|it| ConversationId {
            id: it.id().to_owned(),
        }),
        store,
        background: request.background == Some(true),
        tools: request.tools.unwrap_or_default(),
        tool_choice: request.tool_choice.unwrap_or_else(|| json!("auto")),
        parallel_tool_calls: request.parallel_tool_calls.unwrap_or(true),
        max_tool_calls: request.max_tool_calls,
        text,
        reasoning,
        temperature: request.temperature.as_ref().and_then(Value::as_f64),
        top_p: request.top_p.as_ref().and_then(Value::as_f64),
        top_logprobs: request.top_logprobs.unwrap_or(0),
        max_output_tokens: request.max_output_tokens.as_ref().and_then(Value::as_u64),
        truncation: request.truncation.unwrap_or_else(|| "disabled".to_owned()),
        metadata: request.metadata.unwrap_or_default(),
        service_tier: "default".to_owned(),
        user: request.user,
        safety_identifier: request.safety_identifier,
        prompt_cache_key: request.prompt_cache_key,
        prompt_cache_retention: request.prompt_cache_retention,
        warnings,
    }
}
