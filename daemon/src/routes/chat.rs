//! `POST /api/chat`: continues a conversation; without messages it loads or unloads the model.

use api::{ChatEvent, ChatRequest, DoneReason, Message};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use jiff::Timestamp;
use registry::ModelName;
use runner_protocol::Overflow;
use tokio::time::Instant;

use crate::answer::{self, Answer, Clock, End, Part, Piece};
use crate::app::{App, Chosen};
use crate::duration::Stay;
use crate::error::Error;
use crate::extract::{Json, LARGE, model_name};
use crate::form::{self, Form};
use crate::images::Album;
use crate::prompt::{self, Conversation, Needs, Way};
use crate::scheduler::Lease;
use crate::steer::Steer;
use crate::template::Turn;
use crate::think::Think;
use crate::tools::Offered;
use crate::{blocking, ndjson, options, tools};

/// *Cancel*: a client that leaves stops the model, or gives up its place in the queue.
pub(crate) async fn post(
    State(app): State<App>,
    Json(mut request): Json<ChatRequest, LARGE>,
) -> Result<Response, Error> {
    let arrived = Instant::now();
    let form = Form::read(
        request.format.as_ref(),
        request.logprobs,
        request.top_logprobs,
    )?;
    let name = model_name(&request.model)?;
    let parameters = options::read(request.options.as_ref())?;
    let keep_alive = request
        .keep_alive
        .as_ref()
        .map(Stay::read)
        .transpose()
        .map_err(Error::Invalid)?;
    let messages = std::mem::take(&mut request.messages);
    let images = messages
        .iter()
        .filter_map(|message| message.images.as_ref());
    let (given, mut album) = blocking::on(images.flatten().map(String::len).sum(), || {
        let mut album = Album::default();
        Ok::<_, Error>((turns(messages, &mut album)?, album))
    })
    .await??;
    let Offered { tools, left_out } = tools::offered(request.tools.take().unwrap_or_default())?;
    let tool_choice = tools::choice(request.tool_choice.as_ref(), &tools)?;
    let asks = !given.is_empty();
    if !asks && keep_alive.is_some_and(Stay::is_none) {
        return unload(&app, &name, request).await;
    }
    let mut chosen = app.choose(&name, &parameters, keep_alive, arrived).await?;
    chosen.options.deterministic = request
        .deterministic
        .unwrap_or(chosen.options.deterministic);
    if !asks {
        return load(&app, &chosen, request).await;
    }
    let think = Think::choose(request.think.as_ref(), &chosen.model)?;
    if !tools.is_empty() {
        chosen.calls_tools()?;
    }
    if !album.is_empty() {
        chosen.sees_images()?;
    }
    let lease = app.lease(&chosen).await?;
    let clock = Clock::loaded(&chosen);
    let needs = Needs {
        tools: !tools.is_empty(),
        thoughts: think.is_asked && think.on == Some(true),
    };
    let way = chosen.way(None, &lease, needs).await?;
    let mut turns = with_own(given, &chosen);
    album.place(&mut turns, &tools)?;
    let conversation = Conversation {
        turns,
        insert: None,
        think,
        tools,
        tool_choice,
        album,
    };
    let answer = begin(&request, &chosen, &conversation, &way, &form, lease, clock).await?;
    if request.stream == Some(false) {
        let (whole, end) = answer.collect().await?;
        return Ok(axum::Json(last(&request.model, whole, end, left_out)).into_response());
    }
    let model = request.model;
    Ok(ndjson::stream(answer.into_stream().map(move |piece| {
        piece.map(|piece| match piece {
            Piece::Part(part) => event(&model, part),
            Piece::End(end) => last(&model, Part::default(), *end, left_out.clone()),
        })
    })))
}

/// Starts the answer. Only when the conversation does not fit is it looked at how much of it does, so that the ordinary case
/// costs nothing.
async fn begin(
    request: &ChatRequest,
    chosen: &Chosen,
    conversation: &Conversation,
    way: &Way,
    form: &Form,
    lease: Lease,
    clock: Clock,
) -> Result<Answer, Error> {
    let model = &request.model;
    let options = &chosen.options;
    let adapters = chosen.model.adapters().count();
    let steer = Steer::read(
        request.logit_bias.as_ref(),
        request.lora.as_deref(),
        adapters,
    )?;
    let read_as = conversation.read_as(way)?;
    let prompt = conversation.to_prompt(way).await?;
    let images = conversation.images();
    let mut call = answer::request(
        prompt,
        read_as.clone(),
        images,
        options,
        Overflow::Refuse,
        form,
    );
    steer.apply(&mut call);
    let (lease, error) = match Answer::begin(lease, model.clone(), call, clock).await {
        Ok(answer) => return Ok(answer),
        Err(refused) => *refused,
    };
    let may_cut = request.truncate != Some(false) && options.overflow != Overflow::Refuse;
    if !may_cut || !matches!(error, Error::ContextOverflow(_)) {
        return Err(error);
    }
    let context = options.load.context.min(lease.loaded().context);
    let shorter = prompt::shorten(conversation, way, lease.runner(), model, context).await?;
    let prompt = shorter.conversation.to_prompt(way).await?;
    let images = shorter.conversation.images();
    let mut call = answer::request(prompt, read_as, images, options, options.overflow, form);
    steer.apply(&mut call);
    let answer = Answer::begin(lease, model.clone(), call, clock)
        .await
        .map_err(|refused| refused.1)?;
    Ok(answer.after_dropping(shorter.dropped))
}

/// Checks the messages. Roles are read without regard to case.
fn turns(messages: Vec<Message>, album: &mut Album) -> Result<Vec<Turn>, Error> {
    messages
        .into_iter()
        .map(|message| {
            let role = message.role.to_ascii_lowercase();
            if !matches!(role.as_str(), "system" | "user" | "assistant" | "tool") {
                let shown: String = message.role.chars().take(40).collect();
                return Err(Error::Invalid(format!(
                    "role {shown:?} must be system, user, assistant or tool"
                )));
            }
            let calls = message.tool_calls.unwrap_or_default();
            if !calls.is_empty() && role != "assistant" {
                return Err(Error::Invalid(format!(
                    "only an assistant makes tool_calls, and this message is of role {role:?}"
                )));
            }
            Ok(Turn {
                role,
                content: message.content,
                images: album.take(message.images)?,
                thinking: message.thinking.unwrap_or_default(),
                calls: tools::made(calls)?,
                tool_name: message.tool_name.unwrap_or_default(),
                tool_call_id: message.tool_call_id.unwrap_or_default(),
            })
        })
        .collect()
}

/// The model's system prompt, unless the conversation begins with one; its own messages; the conversation.
fn with_own(given: Vec<Turn>, chosen: &Chosen) -> Vec<Turn> {
    let model = &chosen.model;
    let turn = |role: &str, content: &str| Turn {
        role: role.to_owned(),
        content: content.to_owned(),
        ..Turn::default()
    };
    let mut turns = Vec::new();
    let (system, given): (Vec<Turn>, Vec<Turn>) = {
        let leading = given
            .iter()
            .take_while(|turn| turn.role == "system")
            .count();
        let mut system = given;
        let rest = system.split_off(leading);
        (system, rest)
    };
    if system.is_empty() {
        let own = model.system.iter().filter(|text| !text.is_empty());
        turns.extend(own.map(|text| turn("system", text)));
    } else {
        turns.extend(system);
    }
    let own = model.messages.iter();
    turns.extend(own.map(|message| turn(message.role.as_str(), &message.content)));
    turns.extend(given);
    turns
}

async fn load(app: &App, chosen: &Chosen, request: ChatRequest) -> Result<Response, Error> {
    drop(app.lease(chosen).await?);
    let event = ChatEvent {
        done: true,
        done_reason: Some(DoneReason::Load),
        timings: Some(Clock::loaded(chosen).timings()),
        ..event(&request.model, Part::default())
    };
    Ok(only(request.stream, event))
}

async fn unload(app: &App, name: &ModelName, request: ChatRequest) -> Result<Response, Error> {
    let event = ChatEvent {
        done: true,
        done_reason: Some(DoneReason::Unload),
        unload: Some(app.let_go(name).await?),
        ..event(&request.model, Part::default())
    };
    Ok(only(request.stream, event))
}

/// An answer of one event.
fn only(stream: Option<bool>, event: ChatEvent) -> Response {
    if stream == Some(false) {
        return axum::Json(event).into_response();
    }
    ndjson::stream(futures::stream::iter([Ok(event)]))
}

fn event(model: &str, mut part: Part) -> ChatEvent {
    ChatEvent {
        model: model.to_owned(),
        created_at: Timestamp::now(),
        message: Message {
            role: "assistant".to_owned(),
            thinking: part.take_thinking(),
            tool_calls: part.take_calls(),
            content: part.text,
            ..Message::default()
        },
        done: false,
        done_reason: None,
        unload: None,
        logprobs: form::told(part.logprobs),
        warnings: Vec::new(),
        timings: None,
    }
}

fn last(model: &str, part: Part, end: End, warnings: Vec<String>) -> ChatEvent {
    ChatEvent {
        warnings,
        done: true,
        done_reason: Some(end.reason),
        timings: Some(end.timings),
        ..event(model, part)
    }
}
