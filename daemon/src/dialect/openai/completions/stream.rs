//! The chunks of a stream.

use api::openai::{CompletionAnswer, CompletionChoice};
use axum::response::sse::Event as Frame;
use futures::Stream;
use futures::stream::BoxStream;

use super::super::choices::{self, Batch};
use super::super::head::Head;
use super::super::usage;
use super::{Style, empty, finish_reason, shown};
use crate::answer::{End, Event};
use crate::error::Error;

/// The frames of these batches, and `[DONE]` after the last one.
pub(super) fn frames(
    head: Head,
    style: Style,
    echoes: Vec<String>,
    batches: BoxStream<'static, Result<Batch, Error>>,
) -> impl Stream<Item = Result<Frame, Error>> + Send + 'static {
    let mut writer = Writer {
        head,
        style,
        open: echoes.len(),
        choices: echoes.into_iter().map(Choice::after).collect(),
    };
    choices::frames(batches, move |index, events| writer.batch(index, events))
}

/// Writes chunks.
struct Writer {
    head: Head,
    style: Style,
    choices: Vec<Choice>,
    open: usize,
}

/// What a choice has sent.
struct Choice {
    /// The text before it, until it is sent.
    echo: String,
    /// Characters of its tokens.
    offset: usize,
    end: Option<Box<End>>,
}

impl Choice {
    fn after(echo: String) -> Self {
        Self {
            echo,
            offset: 0,
            end: None,
        }
    }
}

impl Writer {
    /// The frames of one batch of a choice.
    fn batch(&mut self, index: u32, events: Vec<Event>) -> Vec<Result<Frame, Error>> {
        let choice = &mut self.choices[index as usize];
        let mut piece = CompletionChoice {
            index,
            ..CompletionChoice::default()
        };
        let mut ended = None;
        for event in events {
            match event {
                Event::Text(text) => {
                    piece.text.push_str(&std::mem::take(&mut choice.echo));
                    piece.text.push_str(&text);
                }
                Event::Logprobs(found) => piece.logprobs = Some(shown(found, &mut choice.offset)),
                Event::End(end) => {
                    piece.text.push_str(&std::mem::take(&mut choice.echo));
                    ended = Some(end);
                }
                _ => {}
            }
        }
        let mut frames = Vec::new();
        if !piece.text.is_empty() || piece.logprobs.is_some() {
            frames.push(frame(&CompletionAnswer {
                choices: vec![piece],
                ..empty(&self.head)
            }));
        }
        if let Some(end) = ended {
            frames.extend(self.end(index, end));
        }
        frames
    }

    fn end(&mut self, index: u32, end: Box<End>) -> Vec<Result<Frame, Error>> {
        let last = CompletionChoice {
            index,
            finish_reason: Some(finish_reason(&end.finish)),
            ..CompletionChoice::default()
        };
        let mut frames = vec![frame(&CompletionAnswer {
            choices: vec![last],
            timings: self.style.timings.then(|| usage::timings(&end)),
            ..empty(&self.head)
        })];
        self.choices[index as usize].end = Some(end);
        self.open -= 1;
        if self.open == 0 && self.style.usage {
            let ended = self.choices.iter().enumerate();
            let counted = ended.filter_map(|(index, choice)| {
                Some(usage::Choice {
                    end: choice.end.as_deref()?,
                    thinking: 0,
                    counts_prompt: self.style.counts_prompt(index),
                })
            });
            frames.push(frame(&CompletionAnswer {
                usage: Some(usage::sum(counted)),
                ..empty(&self.head)
            }));
        }
        frames
    }
}

fn frame(chunk: &CompletionAnswer<'_>) -> Result<Frame, Error> {
    let frame = Frame::default().json_data(chunk);
    frame.map_err(|_| Error::Internal)
}
