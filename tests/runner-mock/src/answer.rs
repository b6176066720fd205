//! One answer of the mock, from its prompt to its end.

use std::time::Duration;

use runner_protocol::images::{Images, placeholder};
use runner_protocol::{
    AdapterScale, Constraint, Delta, Done, Event, Failure, FailureKind, Generate, Likelihood, Load,
    Logprob, MAX_DRAFT, MAX_TOP_LOGPROBS, MIN_CONTEXT, Message, Overflow, Prompt, PromptLength,
    Rendered, Shape, Speculation, StopReason, Template, ToolCallDelta, ToolChoice, Variable,
};

use super::{
    attempt::Attempt,
    machine::{count, invalid, nanos, outside_of_vocabulary},
    script::{Answer, Fault, FaultPoint, Origin, Script},
    words::{self, Words},
};

/// Most stop texts of one request.
const MAX_STOPS: usize = 64;

/// An answer, waiting or active.
pub(super) struct Answering {
    id: u64,
    script: Script,
    /// Prompt tokens per step.
    batch: u32,
    prompt: Vec<i32>,
    /// Its cached tokens, from an imported state.
    cached: u32,
    truncated: u32,
    /// The words of the answer.
    said_so: Vec<Piece>,
    tokens: Vec<i32>,
    /// Why it ends after the last word.
    reason: StopReason,
    /// The stop text that ends it.
    stop_text: Option<String>,
    seed: u64,
    logprobs: Option<u32>,
    /// Reported number of drafted tokens.
    drafted: u32,
    prefilled: u32,
    /// The first batch of prefill was computed; also an empty prompt has one.
    begun: bool,
    said: u32,
    next: Duration,
    received: Duration,
    admitted: Duration,
    read: Duration,
}

/// A word of the text, the reasoning or a tool call.
#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Thought(String),
    Call(ToolCallDelta),
}

impl Piece {
    fn word(&self) -> &str {
        match self {
            Self::Text(word) | Self::Thought(word) => word,
            Self::Call(call) if call.name.is_empty() => &call.arguments,
            Self::Call(call) => &call.name,
        }
    }

    fn into_delta(self, tokens: u32) -> Delta {
        let nothing = Delta {
            tokens,
            ..Delta::default()
        };
        match self {
            Self::Text(text) => Delta { text, ..nothing },
            Self::Thought(reasoning) => Delta {
                reasoning,
                ..nothing
            },
            Self::Call(call) => Delta {
                tool_calls: vec![call],
                ..nothing
            },
        }
    }
}

/// The event of one step, and the fault that follows it at once.
pub(super) struct Step {
    pub(super) event: Event,
    pub(super) fault: Option<Fault>,
}

impl Answering {
    /// Plans the whole answer.
    pub(super) fn new(
        id: u64,
        generate: Generate,
        load: &Load,
        mut script: Script,
        words: &mut Words,
        attempt: fn(&Attempt) -> String,
        now: Duration,
    ) -> Result<Self, Failure> {
        if generate.stop.len() > MAX_STOPS || generate.stop.iter().any(String::is_empty) {
            return Err(invalid(format!(
                "there may be {MAX_STOPS} stop texts, none of them empty"
            )));
        }
        if generate.logprobs.is_some_and(|top| top > MAX_TOP_LOGPROBS) {
            return Err(invalid(format!(
                "top_logprobs must lie between 0 and {MAX_TOP_LOGPROBS}"
            )));
        }
        let mut named = generate.adapters.iter();
        let is_loaded = |digest: &str| load.adapters.iter().any(|it| it.digest == digest);
        if let Some(absent) = named.find(|adapter| !is_loaded(&adapter.digest)) {
            return Err(invalid(format!("no adapter {} is loaded", absent.digest)));
        }
        let shaped = generate.constraint.as_ref().map(shaped).transpose()?;
        let as_chat = matches!(generate.prompt, Prompt::Chat(_)) || generate.read_as.is_some();
        let may_think = match (&generate.prompt, &generate.read_as) {
            (Prompt::Chat(template), _) => template.thinking != Some(false),
            (_, Some(template)) => template.thinking != Some(false),
            _ => true,
        };
        let (mut rendered, mut said) = read(generate.prompt, &mut script, words)?;
        let mut overflow = generate.overflow;
        if let Some(images) = &generate.images {
            look(images, load, &rendered)?;
            rendered = described(images, &rendered);
            said = described(images, &said);
            overflow = Overflow::Refuse;
        }
        let mut prompt = words.tokens(&rendered);
        let context = context_of(generate.context, load.settings.context)?;
        let truncated = fit(&mut prompt, context, overflow)?;

        let room = context - count(prompt.len());
        let most = generate.max_tokens.map_or(room, |most| most.min(room)) as usize;
        let text = match script.answer.take() {
            Some(Answer::Text(text)) => text,
            // One word more than fits, so that the answer ends by length.
            Some(Answer::Count(last)) => numbers(last.min(context + 1)),
            Some(Answer::Prompt) => rendered,
            Some(Answer::Adapters) => scales(&generate.adapters),
            Some(Answer::Attempt(what)) => attempt(&what),
            None if shaped.is_some() => shaped.unwrap_or_default(),
            None if !script.calls.is_empty() => String::new(),
            None if said.trim().is_empty() => "ok".to_owned(),
            None => said.trim().to_owned(),
        };
        // The one that is whole first, and of these the longest, as in the engine.
        let stop = generate
            .stop
            .iter()
            .filter_map(|stop| Some((text.find(stop.as_str())?, stop)))
            .min_by_key(|(at, stop)| (at + stop.len(), *at));
        let end = stop.map_or(text.len(), |(at, _)| at);
        let stop_text = stop.map(|(_, stop)| stop.clone());
        let thought = if may_think {
            script.thought.as_str()
        } else {
            ""
        };
        let mut pieces = if as_chat {
            apart(thought, &text[..end], &script.calls)
        } else {
            let whole = marked_up(thought, &text[..end], &script.calls);
            words::split(&whole)
                .map(|word| Piece::Text(word.to_owned()))
                .collect()
        };
        let reason = if pieces.len() > most {
            StopReason::Length
        } else {
            StopReason::Stop
        };
        pieces.truncate(most);
        let tokens = pieces
            .iter()
            .flat_map(|piece| words.tokens(piece.word()))
            .collect();

        Ok(Self {
            id,
            script,
            batch: load.settings.batch,
            prompt,
            cached: 0,
            truncated,
            said_so: pieces,
            tokens,
            reason,
            stop_text,
            seed: generate.sampling.seed.unwrap_or(0),
            logprobs: generate.logprobs,
            drafted: match load.speculation {
                Speculation::Off => 0,
                Speculation::Auto | Speculation::Always => {
                    let usual = if load.draft_fd.is_some() { 4 } else { 0 };
                    generate.draft.unwrap_or(usual).min(MAX_DRAFT)
                }
            },
            prefilled: 0,
            begun: false,
            said: 0,
            next: now,
            received: now,
            admitted: now,
            read: now,
        })
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn prompt(&self) -> &[i32] {
        &self.prompt
    }

    /// Sets the number of cached prompt tokens.
    pub(super) fn recalled(&mut self, tokens: usize) {
        self.cached = count(tokens);
    }

    /// Lines for standard error at its start.
    pub(super) fn said(&self) -> &[String] {
        &self.script.say
    }

    /// When its next step is due.
    pub(super) fn next(&self) -> Duration {
        self.next
    }

    /// Its KV cells.
    pub(super) fn cells(&self) -> u32 {
        self.prefilled + self.said
    }

    /// Gives it a slot.
    pub(super) fn admit(&mut self, now: Duration) -> Event {
        self.admitted = now;
        self.read = now;
        self.next = now + self.script.prefill_delay;
        Event::Started {
            prompt_tokens: count(self.prompt.len()),
            cached_tokens: self.cached,
        }
    }

    /// Computes a batch of prefill, or sends a word.
    pub(super) fn step(&mut self, now: Duration) -> Step {
        let total = count(self.prompt.len());
        if self.prefilled < total || !self.begun {
            return self.prefill(total, now);
        }
        let Some(piece) = self.said_so.get(self.said as usize).cloned() else {
            return Step {
                event: self.done(self.reason, now),
                fault: None,
            };
        };
        let logprobs = self.logprobs.map(|top| {
            logprob(
                self.said,
                self.tokens[self.said as usize],
                piece.word(),
                top,
            )
        });
        self.said += 1;
        self.next = now + self.script.delay;
        Step {
            event: Event::Delta(Delta {
                logprobs: logprobs.into_iter().collect(),
                ..piece.into_delta(self.said)
            }),
            fault: self.script.fault(FaultPoint::Token(self.said)),
        }
    }

    fn prefill(&mut self, total: u32, now: Duration) -> Step {
        let first = !std::mem::replace(&mut self.begun, true);
        let mut fault = self.script.fault(FaultPoint::Prefill).filter(|_| first);
        if fault.is_none() {
            self.prefilled = total.min(self.prefilled.saturating_add(self.batch));
            self.read = now;
            self.next = now + self.script.prefill_delay;
        }
        if self.prefilled == total {
            self.next = now + self.script.delay;
            fault = fault.or_else(|| self.script.fault(FaultPoint::Token(0)));
        }
        Step {
            event: Event::Prefill {
                done: self.prefilled,
                total,
            },
            fault,
        }
    }

    /// Its end after a cancel.
    pub(super) fn cancelled(&self, now: Duration) -> Event {
        self.done(StopReason::Cancelled, now)
    }

    fn done(&self, reason: StopReason, now: Duration) -> Event {
        let said = &self.tokens[..self.said as usize];
        Event::Done(Box::new(Done {
            reason,
            prompt_tokens: count(self.prompt.len()),
            cached_tokens: self.cached,
            truncated: self.truncated,
            tokens: self.said,
            prefill_ns: nanos(self.read - self.admitted),
            decode_ns: nanos(now - self.read),
            queue_ns: nanos(self.admitted - self.received),
            drafted: self.drafted,
            accepted: self.drafted.min(self.said),
            stop_text: match reason {
                StopReason::Stop => self.stop_text.clone(),
                StopReason::Length | StopReason::Cancelled => None,
            },
            seed: self.seed,
            all_tokens: [&self.prompt, said].concat(),
        }))
    }
}

/// Checks the images of a prompt.
fn look(images: &Images, load: &Load, prompt: &str) -> Result<(), Failure> {
    if load.projector.is_none() {
        return Err(invalid("this model has no projector of images"));
    }
    if let Some(bad) = images.images.iter().find(|it| it.file.0 == b"bad") {
        return Err(invalid(format!("image {} cannot be read", bad.number)));
    }
    images.split(prompt).map(|_| ()).map_err(invalid)
}

/// A text with each image as a word.
fn described(images: &Images, text: &str) -> String {
    let images_of = images.images.iter();
    images_of.fold(text.to_owned(), |text, image| {
        let words = format!("[image-{}:{}]", image.number, image.file.0.len());
        text.replace(&placeholder(&images.mark, image.number), &words)
    })
}

/// An answer that meets the constraint.
fn shaped(Constraint { shape, after }: &Constraint) -> Result<String, Failure> {
    let answer = match shape {
        Shape::Schema(schema) if schema.contains("uniqueItems") => {
            return Err(invalid(
                "the JSON schema cannot be used: the mock does not know uniqueItems",
            ));
        }
        Shape::Grammar(grammar) if !grammar.contains("root") => {
            return Err(invalid("the grammar has no rule 'root'"));
        }
        Shape::Json | Shape::Schema(_) => "{}",
        Shape::Grammar(_) | Shape::Regex(_) => "ok",
    };
    Ok(match after {
        Some(marker) => format!("hm{marker}{answer}"),
        None => answer.to_owned(),
    })
}

/// The logprobs of a word.
fn logprob(place: u32, token: i32, word: &str, top: u32) -> Logprob {
    let chosen = Likelihood {
        token,
        bytes: word.as_bytes().to_vec(),
        logprob: (place + 1) as f32 / -8.0,
    };
    let other = |rank: u32| Likelihood {
        token: token ^ rank.cast_signed(),
        bytes: if rank == 0 {
            chosen.bytes.clone()
        } else {
            format!("other{rank}").into_bytes()
        },
        logprob: chosen.logprob - rank as f32,
    };
    Logprob {
        top: (0..top).map(other).collect(),
        chosen,
    }
}

/// Reads a prompt and its directives; returns it rendered, and the part that the answer repeats.
fn read(prompt: Prompt, script: &mut Script, words: &Words) -> Result<(String, String), Failure> {
    if let Prompt::Chat(template) = &prompt {
        let since = template.messages.iter().rev();
        script.part = since
            .take_while(|message| message.role != "user")
            .filter(|message| !message.tool_calls.is_empty())
            .count();
    }
    let mut take = |text: &str| script.take_from(text, Origin::Prompt).map_err(invalid);
    match prompt {
        Prompt::Text { text, .. } | Prompt::Rendered(Rendered { text, .. }) => {
            let text = take(&text)?;
            Ok((text.clone(), text))
        }
        Prompt::Tokens(tokens) => {
            let text = take(&words.text(&tokens).map_err(outside_of_vocabulary)?)?;
            Ok((text.clone(), text))
        }
        Prompt::Chat(mut template) => {
            let mut said = String::new();
            if let Some(last) = template
                .messages
                .iter_mut()
                .rfind(|message| message.role == "user")
            {
                last.content = take(&last.content)?;
                said.clone_from(&last.content);
            }
            if script.no_chat_template {
                return Err(invalid("this model has no chat template"));
            }
            Ok((render(&template), said))
        }
    }
}

/// The chat template of the mock.
pub(super) fn render(template: &Template) -> String {
    let mut text = String::new();
    for tool in &template.tools {
        text.push_str(&format!(
            "offers {}: {} {}\n",
            tool.name, tool.description, tool.parameters
        ));
    }
    match &template.tool_choice {
        ToolChoice::Auto => {}
        ToolChoice::None => text.push_str("call nothing\n"),
        ToolChoice::Required => text.push_str("call something\n"),
        ToolChoice::One(name) => text.push_str(&format!("call {name}\n")),
    }
    for (name, value) in &template.variables {
        let value = match value {
            Variable::Flag(value) => value.to_string(),
            Variable::Number(value) => value.to_string(),
            Variable::Text(value) => value.clone(),
        };
        text.push_str(&format!("{name} = {value}\n"));
    }
    for message in &template.messages {
        render_message(message, &mut text);
    }
    if template.thinking == Some(true) {
        text.push_str("thinking\n");
    }
    if template.add_generation_prompt {
        text.push_str("assistant:");
    }
    text
}

fn render_message(message: &Message, text: &mut String) {
    let role = &message.role;
    if !message.reasoning.is_empty() {
        text.push_str(&format!("{role} thinks: {}\n", message.reasoning));
    }
    let of = [&message.tool_name, &message.tool_call_id]
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(|part| format!(" {part}"))
        .collect::<String>();
    text.push_str(&format!("{role}{of}: {}\n", message.content));
    for call in &message.tool_calls {
        let id = if call.id.is_empty() { "" } else { " " };
        text.push_str(&format!(
            "{role} calls{id}{}: {} {}\n",
            call.id, call.name, call.arguments
        ));
    }
}

/// Words of text, reasoning and tool calls.
fn apart(thought: &str, text: &str, calls: &[(String, String)]) -> Vec<Piece> {
    let thought = words::split(thought).map(|word| Piece::Thought(word.to_owned()));
    let text = words::split(text).map(|word| Piece::Text(word.to_owned()));
    let calls = calls
        .iter()
        .zip(0u32..)
        .flat_map(|((name, arguments), index)| {
            let begin = ToolCallDelta {
                index,
                name: name.clone(),
                ..ToolCallDelta::default()
            };
            let rest = words::split(arguments).map(move |word| ToolCallDelta {
                index,
                arguments: word.to_owned(),
                ..ToolCallDelta::default()
            });
            std::iter::once(begin).chain(rest).map(Piece::Call)
        });
    thought.chain(text).chain(calls).collect()
}

/// The same as text with markup.
fn marked_up(thought: &str, text: &str, calls: &[(String, String)]) -> String {
    let mut whole = String::new();
    if !thought.is_empty() {
        whole.push_str(&format!("<think>{thought}</think>"));
    }
    whole.push_str(text);
    for (name, arguments) in calls {
        whole.push_str(&format!("<call>{name} {arguments}</call>"));
    }
    whole
}

/// The context of a call, at most that of the load.
pub(super) fn context_of(wanted: Option<u32>, loaded: u32) -> Result<u32, Failure> {
    match wanted {
        Some(wanted) if wanted < MIN_CONTEXT => Err(invalid(format!(
            "a context has at least {MIN_CONTEXT} tokens"
        ))),
        Some(wanted) => Ok(wanted.min(loaded)),
        None => Ok(loaded),
    }
}

/// Truncates a prompt so that one cell is left for the answer; returns the number of tokens that it cut.
fn fit(prompt: &mut Vec<i32>, context: u32, overflow: Overflow) -> Result<u32, Failure> {
    let room = context as usize - 1;
    let Some(excess) = prompt.len().checked_sub(room).filter(|excess| *excess > 0) else {
        return Ok(0);
    };
    match overflow {
        Overflow::Refuse => Err(Failure {
            length: Some(PromptLength {
                tokens: Some(count(prompt.len())),
                context,
            }),
            ..Failure::new(
                FailureKind::ContextOverflow,
                format!(
                    "the prompt has {} tokens, and the context of {context} takes {room}",
                    prompt.len()
                ),
            )
        }),
        Overflow::Truncate { keep } => {
            let keep = room.min(keep as usize);
            prompt.drain(keep..keep + excess);
            Ok(count(excess))
        }
    }
}

fn numbers(last: u32) -> String {
    (1..=last)
        .map(|number| number.to_string())
        .collect::<Vec<_>>()
        .join(" ")
}
/// The adapters of a request: the first letters of each digest, and its scale.
fn scales(adapters: &[AdapterScale]) -> String {
    let texts: Vec<String> = adapters
        .iter()
        .map(|AdapterScale { digest, scale }| {
            format!("{}={scale}", digest.chars().take(8).collect::<String>())
        })
        .collect();
    texts.join(" ")
}
