//! The chunks of a stream.

use api::openai::{
    CallDelta, ChatChunk, ChatChunkChoice, ChatDelta, ChoiceLogprobs, FunctionDelta, PromptProgress,
};
use axum::response::sse::Event as Frame;
use futures::Stream;
use futures::stream::BoxStream;
use tokio::time::Instant;

use super::super::choices::{self, Batch};
use super::super::head::{FINGERPRINT, Head};
use super::super::tools::Names;
use super::super::{logprobs, usage};
use super::{Style, finish_reason};
use crate::answer::{End, Event};
use crate::error::Error;

/// The frames of these batches, and `[DONE]` after the last one.
pub(super) fn frames(
    head: Head,
    style: Style,
    names: Names,
    count: usize,
    batches: BoxStream<'static, Result<Batch, Error>>,
) -> impl Stream<Item = Result<Frame, Error>> + Send + 'static {
    let mut writer = Writer::new(head, style, names, count);
    choices::frames(batches, move |index, events| writer.batch(index, events))
}

/// Writes chunks.
struct Writer {
    head: Head,
    style: Style,
    names: Names,
    began: Instant,
    choices: Vec<Choice>,
    open: usize,
    frames: Vec<Result<Frame, Error>>,
}

/// What a choice has sent.
#[derive(Default)]
struct Choice {
    has_begun: bool,
    cached: u32,
    thoughts: u32,
    has_call: bool,
    /// Whether the call that began last has arguments.
    has_arguments: bool,
    end: Option<Box<End>>,
}

impl Writer {
    fn new(head: Head, style: Style, names: Names, count: usize) -> Self {
        let mut choices = Vec::new();
        choices.resize_with(count, Choice::default);
        Self {
            head,
            style,
            names,
            began: Instant::now(),
            open: count,
            choices,
            frames: Vec::new(),
        }
    }

    /// The frames of one batch of a choice.
    fn batch(&mut self, index: u32, events: Vec<Event>) -> Vec<Result<Frame, Error>> {
        let mut pieces: Vec<(ChatDelta, Option<ChoiceLogprobs>)> = Vec::new();
        for event in events {
            match event {
                Event::Started { cached_tokens, .. } => self.choice(index).cached = cached_tokens,
                Event::Progress { done, total } => self.progress(index, done, total),
                Event::Logprobs(found) => {
                    let found = Some(logprobs::of_chat(found));
                    // They are those of the text of this batch.
                    match pieces.iter_mut().find(|(delta, _)| delta.content.is_some()) {
                        Some((_, place)) => *place = found,
                        None => pieces.push((ChatDelta::default(), found)),
                    }
                }
                Event::End(end) => {
                    self.send(index, std::mem::take(&mut pieces));
                    self.end(index, end);
                }
                event => {
                    if let Some(delta) = self.delta(index, event) {
                        pieces.push((delta, None));
                    }
                }
            }
        }
        self.send(index, pieces);
        std::mem::take(&mut self.frames)
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        &mut self.choices[index as usize]
    }

    /// What an event adds to the message.
    fn delta(&mut self, index: u32, event: Event) -> Option<ChatDelta> {
        let functions = self.style.functions;
        let choice = &mut self.choices[index as usize];
        let (index, function, id) = match event {
            Event::Thinking(text) => {
                choice.thoughts += 1;
                return Some(ChatDelta {
                    reasoning_content: Some(text.clone()),
                    reasoning: Some(text),
                    ..ChatDelta::default()
                });
            }
            Event::Text(text) => {
                return Some(ChatDelta {
                    content: Some(text),
                    ..ChatDelta::default()
                });
            }
            Event::CallBegin { index, id, name } => {
                // The older form has room for one call.
                if functions && choice.has_call {
                    choice.has_arguments = true;
                    return None;
                }
                choice.has_call = true;
                choice.has_arguments = false;
                let (namespace, name) = self.names.apart(&name);
                let function = FunctionDelta {
                    name: Some(name),
                    namespace,
                    arguments: String::new(),
                };
                (index, function, Some(id))
            }
            Event::CallArguments { index, .. } if functions && index > 0 => return None,
            Event::CallArguments { index, json } => {
                choice.has_arguments = true;
                (index, piece(json), None)
            }
            Event::CallEnd { index } if !choice.has_arguments => {
                (index, piece("{}".to_owned()), None)
            }
            _ => return None,
        };
        if functions {
            return Some(ChatDelta {
                function_call: Some(function),
                ..ChatDelta::default()
            });
        }
        Some(ChatDelta {
            tool_calls: Some(vec![CallDelta {
                index,
                kind: id.is_some().then(|| "function".to_owned()),
                id,
                function,
            }]),
            ..ChatDelta::default()
        })
    }

    fn send(&mut self, index: u32, pieces: Vec<(ChatDelta, Option<ChoiceLogprobs>)>) {
        if pieces.is_empty() {
            return;
        }
        self.begin(index);
        for (delta, logprobs) in pieces {
            self.chunk(ChatChunkChoice {
                index,
                delta,
                logprobs,
                finish_reason: None,
            });
        }
    }

    /// Sends the role before the first piece of a choice.
    fn begin(&mut self, index: u32) {
        if std::mem::replace(&mut self.choice(index).has_begun, true) {
            return;
        }
        let delta = ChatDelta {
            role: Some("assistant"),
            content: Some(String::new()),
            ..ChatDelta::default()
        };
        self.chunk(ChatChunkChoice {
            index,
            delta,
            ..ChatChunkChoice::default()
        });
    }

    fn end(&mut self, index: u32, end: Box<End>) {
        self.begin(index);
        let has_call = self.choice(index).has_call;
        let choice = ChatChunkChoice {
            index,
            finish_reason: Some(finish_reason(&end.finish, has_call, self.style)),
            ..ChatChunkChoice::default()
        };
        let timings = self.style.timings.then(|| usage::timings(&end));
        self.frames.push(frame(&ChatChunk {
            choices: vec![choice],
            timings,
            ..empty(&self.head)
        }));
        self.choice(index).end = Some(end);
        self.open -= 1;
        if self.open == 0 && self.style.usage {
            let ended = self.choices.iter().enumerate();
            let counted = ended.filter_map(|(index, choice)| {
                Some(usage::Choice {
                    end: choice.end.as_deref()?,
                    thinking: choice.thoughts,
                    counts_prompt: index == 0,
                })
            });
            let usage = Some(usage::sum(counted));
            self.frames.push(frame(&ChatChunk {
                usage,
                ..empty(&self.head)
            }));
        }
    }

    fn progress(&mut self, index: u32, done: u32, total: u32) {
        if !self.style.progress {
            return;
        }
        self.begin(index);
        let progress = PromptProgress {
            total,
            cache: self.choice(index).cached,
            processed: done,
            time_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let choice = ChatChunkChoice {
            index,
            ..ChatChunkChoice::default()
        };
        self.frames.push(frame(&ChatChunk {
            choices: vec![choice],
            prompt_progress: Some(progress),
            ..empty(&self.head)
        }));
    }

    fn chunk(&mut self, choice: ChatChunkChoice) {
        self.frames.push(frame(&ChatChunk {
            choices: vec![choice],
            ..empty(&self.head)
        }));
    }
}

fn piece(arguments: String) -> FunctionDelta {
    FunctionDelta {
        arguments,
        ..FunctionDelta::default()
    }
}

fn frame(chunk: &ChatChunk<'_>) -> Result<Frame, Error> {
    let frame = Frame::default().json_data(chunk);
    frame.map_err(|_| Error::Internal)
}

fn empty(head: &Head) -> ChatChunk<'_> {
    ChatChunk {
        id: &head.id,
        object: "chat.completion.chunk",
        created: head.created,
        model: &head.model,
        system_fingerprint: FINGERPRINT,
        choices: Vec::new(),
        usage: None,
        timings: None,
        prompt_progress: None,
    }
}
