//! `POST /api/chat`: continues a conversation; without messages it loads or unloads the model.

use api::{ChatEvent, ChatRequest, ErrorBody, Message};
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use tokio::time::Instant;

use super::chunk::Chunk;
use super::reply::{Outcome, rendered, reply};
use super::{request, tools};
use crate::app::App;
use crate::ask::{Ask, Overflow};
use crate::blocking;
use crate::dialect::fields;
use crate::error::Error;
use crate::extract::{Json, LARGE};
use crate::images::Images;
use crate::tools::{Offered, quoted};
use crate::turn::{Block, Role, Turn};

/// Continues a conversation; without messages it loads or unloads the model.
///
/// *Cancel*: the request leaves the queue, or its answer is cancelled.
#[utoipa::path(
    post,
    path = api::routes::CHAT,
    request_body = ChatRequest,
    responses(
        (status = 200, description = "The answer, event by event; with `stream: false` one event, and with `_debug_render_only` the prompt", content((ChatEvent = "application/x-ndjson"), (ChatEvent = "application/json"))),
        (status = "4XX", description = "A field is wrong, no model has this name, or the prompt does not fit the context", body = ErrorBody),
        (status = "5XX", description = "The model cannot be loaded, its runner failed, or the server is busy", body = ErrorBody),
    ),
    tag = "Ollama"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<ChatRequest, LARGE>,
) -> Result<Response, Error> {
    let arrived = Instant::now();
    let (model, stream) = (request.model.clone(), request.stream);
    let only_render = request.debug_render_only == Some(true);
    let (ask, warnings) = read(arrived, request).await?;
    if only_render && !ask.turns.is_empty() {
        return rendered(&app, &model, ask).await;
    }
    reply(&app, ask, stream, move |chunk, outcome| {
        event(&model, &warnings, chunk, outcome)
    })
    .await
}

/// The request, and a warning for each tool that was left out.
pub(crate) async fn read(
    arrived: Instant,
    request: ChatRequest,
) -> Result<(Ask, Vec<String>), Error> {
    let shape = request::shape(request.format.as_ref())?;
    let logprobs = fields::logprobs(request.logprobs, request.top_logprobs)?;
    let target = fields::target(
        arrived,
        &request.model,
        request.options.as_ref(),
        request.keep_alive.as_ref(),
    )?;
    let messages = request.messages;
    let bytes = messages
        .iter()
        .flat_map(|message| message.images.iter().flatten())
        .map(String::len)
        .sum();
    let (turns, images) = blocking::run_sized(bytes, || {
        let mut images = Images::default();
        let turns: Result<Vec<Turn>, Error> = messages
            .into_iter()
            .map(|message| turn(message, &mut images))
            .collect();
        turns.map(|turns| (turns, images))
    })
    .await??;
    let Offered {
        tools: offered,
        left_out,
    } = tools::offered(request.tools.unwrap_or_default())?;
    let left_out = left_out.into_iter().map(|tool| tool.why).collect();
    let tool_choice = tools::choice(request.tool_choice.as_ref(), &offered)?;
    if turns.is_empty() {
        // A request that only loads or unloads may have any other fields, as clients send the same ones each time.
        return Ok((Ask::new(target, turns), left_out));
    }
    let ask = Ask {
        images,
        tool_choice,
        tools: offered,
        think: request::think(request.think.as_ref())?,
        shape,
        logprobs,
        biases: fields::biases(request.logit_bias.as_ref())?,
        adapters: fields::adapters(request.lora.as_deref()),
        overflow: match request.truncate {
            Some(false) => Overflow::Refuse,
            _ => Overflow::DropTurns,
        },
        deterministic: request.deterministic,
        ..Ask::new(target, turns)
    };
    Ok((ask, left_out))
}

/// Reads a message. The case of roles does not matter.
fn turn(message: Message, images: &mut Images) -> Result<Turn, Error> {
    let role = match message.role.to_ascii_lowercase().as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool {
            name: message.tool_name.unwrap_or_default(),
            call: message.tool_call_id.unwrap_or_default(),
        },
        _ => {
            return Err(Error::Invalid(format!(
                "role {} must be system, user, assistant or tool",
                quoted(&message.role)
            )));
        }
    };
    let calls = message.tool_calls.unwrap_or_default();
    if !calls.is_empty() && role != Role::Assistant {
        return Err(Error::Invalid(format!(
            "only an assistant makes tool_calls, and this message is of role {:?}",
            role.name()
        )));
    }
    let mut blocks = Vec::new();
    blocks.extend(message.thinking.map(Block::Thinking));
    blocks.extend(request::blocks(message.content, message.images, images)?);
    for call in calls {
        blocks.push(Block::Call(tools::made(call)?));
    }
    Ok(Turn { role, blocks })
}

fn event(
    model: &str,
    warnings: &[String],
    mut chunk: Chunk,
    outcome: Option<Outcome>,
) -> ChatEvent {
    let logprobs = chunk.take_logprobs();
    ChatEvent {
        model: model.to_owned(),
        created_at: Timestamp::now(),
        message: Message {
            role: "assistant".to_owned(),
            thinking: chunk.take_thinking(),
            tool_calls: chunk.take_calls(),
            content: chunk.text,
            ..Message::default()
        },
        done: outcome.is_some(),
        done_reason: outcome.as_ref().map(Outcome::reason),
        unload: outcome.as_ref().and_then(Outcome::unload),
        logprobs,
        warnings: match &outcome {
            Some(Outcome::Answered(_)) => warnings.to_vec(),
            _ => Vec::new(),
        },
        timings: outcome.as_ref().and_then(Outcome::timings),
    }
}
