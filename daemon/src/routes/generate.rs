//! `POST /api/generate`: continues a prompt; without one it loads or unloads the model.

use api::{DoneReason, GenerateEvent, GenerateRequest, Think as Asked};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use jiff::Timestamp;
use registry::ModelName;
use runner_protocol::{Images, Overflow, Prompt, Template, ToolChoice};
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
use crate::{blocking, ndjson, options};

/// *Cancel*: a client that leaves stops the model, or gives up its place in the queue.
pub(crate) async fn post(
    State(app): State<App>,
    Json(mut request): Json<GenerateRequest, LARGE>,
) -> Result<Response, Error> {
    let arrived = Instant::now();
    check(&request)?;
    let (shown, album) = shown(request.images.take()).await?;
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
    let asks = !request.prompt.is_empty() || !album.is_empty();
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
    let adapters = chosen.model.adapters().count();
    let steer = Steer::read(
        request.logit_bias.as_ref(),
        request.lora.as_deref(),
        adapters,
    )?;
    if !album.is_empty() {
        chosen.sees_images()?;
    }
    let lease = app.lease(&chosen).await?;
    let clock = Clock::loaded(&chosen);
    let asked = Turn {
        images: shown,
        ..turn("user", &request.prompt)
    };
    let Made {
        prompt,
        read_as,
        images,
    } = prompt(&request, asked, album, &chosen, think, &lease).await?;
    let overflow = match request.truncate {
        Some(false) => Overflow::Refuse,
        _ => chosen.options.overflow,
    };
    let mut call = answer::request(prompt, read_as, images, &chosen.options, overflow, &form);
    steer.apply(&mut call);
    let answer = Answer::begin(lease, request.model.clone(), call, clock)
        .await
        .map_err(|refused| refused.1)?;
    let keep_tokens = request.raw != Some(true);
    if request.stream == Some(false) {
        let (whole, end) = answer.collect().await?;
        return Ok(axum::Json(last(&request.model, whole, end, keep_tokens)).into_response());
    }
    let model = request.model;
    Ok(ndjson::stream(answer.into_stream().map(move |piece| {
        piece.map(|piece| match piece {
            Piece::Part(part) => event(&model, part),
            Piece::End(end) => last(&model, Part::default(), *end, keep_tokens),
        })
    })))
}

/// The images of a request.
async fn shown(images: Option<Vec<String>>) -> Result<(Vec<u32>, Album), Error> {
    let bytes = images.iter().flatten().map(String::len).sum();
    blocking::on(bytes, || {
        let mut album = Album::default();
        Ok::<_, Error>((album.take(images)?, album))
    })
    .await?
}

/// Fields that contradict each other.
fn check(request: &GenerateRequest) -> Result<(), Error> {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if request.raw == Some(true) {
        let others = [
            ("template", given(&request.template)),
            ("system", given(&request.system)),
            ("suffix", given(&request.suffix)),
            ("context", goes_on(request)),
            (
                "think",
                !matches!(request.think, None | Some(Asked::Switch(false))),
            ),
        ];
        if let Some((field, _)) = others.iter().find(|(_, given)| *given) {
            return Err(Error::Invalid(format!("raw goes without {field}")));
        }
    }
    if given(&request.suffix) && goes_on(request) {
        return Err(Error::Invalid("suffix goes without context".into()));
    }
    // Their places would be tokens already, or in a text that no template asks for.
    let shows = request.images.as_ref().is_some_and(|it| !it.is_empty());
    for (field, is_given) in [
        ("context", goes_on(request)),
        ("suffix", given(&request.suffix)),
    ] {
        if shows && is_given {
            return Err(Error::Invalid(format!("images go without {field}")));
        }
    }
    Ok(())
}

/// Whether there are tokens of an earlier answer. An empty list is as good as none.
fn goes_on(request: &GenerateRequest) -> bool {
    request
        .context
        .as_ref()
        .is_some_and(|tokens| !tokens.is_empty())
}

async fn load(app: &App, chosen: &Chosen, request: GenerateRequest) -> Result<Response, Error> {
    drop(app.lease(chosen).await?);
    let event = GenerateEvent {
        done: true,
        done_reason: Some(DoneReason::Load),
        timings: Some(Clock::loaded(chosen).timings()),
        ..event(&request.model, Part::default())
    };
    Ok(only(request.stream, event))
}

async fn unload(app: &App, name: &ModelName, request: GenerateRequest) -> Result<Response, Error> {
    let event = GenerateEvent {
        done: true,
        done_reason: Some(DoneReason::Unload),
        unload: Some(app.let_go(name).await?),
        ..event(&request.model, Part::default())
    };
    Ok(only(request.stream, event))
}

/// An answer of one event.
fn only(stream: Option<bool>, event: GenerateEvent) -> Response {
    if stream == Some(false) {
        return axum::Json(event).into_response();
    }
    ndjson::stream(futures::stream::iter([Ok(event)]))
}

/// What is made of a request.
struct Made {
    prompt: Prompt,
    /// How the answer is read.
    read_as: Option<Template>,
    images: Option<Images>,
}

/// Makes the prompt of a request.
async fn prompt(
    request: &GenerateRequest,
    mut asked: Turn,
    mut album: Album,
    chosen: &Chosen,
    think: Think,
    lease: &Lease,
) -> Result<Made, Error> {
    if request.raw == Some(true) {
        album.place(std::slice::from_mut(&mut asked), &[])?;
        let images = album.shown(std::slice::from_ref(&asked));
        let prompt = Prompt::Text {
            text: asked.content,
            special: true,
        };
        return Ok(Made {
            prompt,
            read_as: None,
            images,
        });
    }
    let needs = Needs {
        tools: false,
        thoughts: think.is_asked && think.on == Some(true),
    };
    let way = chosen
        .way(request.template.as_deref(), lease, needs)
        .await?;
    let conversation = conversation(request, asked, album, chosen, think, &way)?;
    let read_as = conversation.read_as(&way)?;
    let prompt = conversation.to_prompt(&way).await?;
    let images = conversation.images();
    // An empty list is as good as none, and with images there is no other.
    let before = request.context.as_ref().filter(|_| images.is_none());
    let Some(before) = before else {
        return Ok(Made {
            prompt,
            read_as,
            images,
        });
    };
    let new = prompt::tokens(
        lease.runner(),
        &chosen.model.name,
        prompt,
        before.is_empty(),
    )
    .await?;
    Ok(Made {
        prompt: Prompt::Tokens([before.as_slice(), &new].concat()),
        read_as,
        images,
    })
}

/// The prompt as a conversation: the system prompt, the model's own messages, then what was asked.
fn conversation(
    request: &GenerateRequest,
    asked: Turn,
    mut album: Album,
    chosen: &Chosen,
    think: Think,
    way: &Way,
) -> Result<Conversation, Error> {
    let mut turns = Vec::new();
    // Earlier tokens hold the system prompt and the model's messages already.
    let goes_on = goes_on(request);
    let own = chosen.model.system.as_ref().filter(|_| !goes_on);
    // Clients that have no system prompt send an empty one, so that is none.
    let system = [request.system.as_ref(), own]
        .into_iter()
        .flatten()
        .find(|text| !text.is_empty());
    turns.extend(system.map(|text| turn("system", text)));
    if !goes_on {
        let own = chosen.model.messages.iter();
        turns.extend(own.map(|message| turn(message.role.as_str(), &message.content)));
    }
    let insert = match request.suffix.as_ref().filter(|suffix| !suffix.is_empty()) {
        None => None,
        Some(_) if !way.takes_suffix() => {
            return Err(Error::Invalid(format!(
                "'{}' does not support insert: its template has no place for a suffix",
                chosen.model.name
            )));
        }
        Some(suffix) => Some((request.prompt.clone(), suffix.clone())),
    };
    turns.push(asked);
    album.place(&mut turns, &[])?;
    Ok(Conversation {
        turns,
        insert,
        think,
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        album,
    })
}

fn turn(role: &str, content: &str) -> Turn {
    Turn {
        role: role.to_owned(),
        content: content.to_owned(),
        ..Turn::default()
    }
}

fn event(model: &str, mut part: Part) -> GenerateEvent {
    GenerateEvent {
        model: model.to_owned(),
        created_at: Timestamp::now(),
        thinking: part.take_thinking(),
        response: part.text,
        done: false,
        done_reason: None,
        unload: None,
        context: None,
        logprobs: form::told(part.logprobs),
        timings: None,
    }
}

fn last(model: &str, part: Part, end: End, keep_tokens: bool) -> GenerateEvent {
    GenerateEvent {
        done: true,
        done_reason: Some(end.reason),
        context: keep_tokens.then_some(end.tokens),
        timings: Some(end.timings),
        ..event(model, part)
    }
}
