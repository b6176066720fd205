//! A whole answer.

use api::openai::{CompletionAnswer, CompletionChoice};
use axum::Json;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::BoxStream;
use runner_protocol::Logprob;

use super::super::choices::Batch;
use super::super::head::Head;
use super::super::usage;
use super::{Style, empty, finish_reason, shown};
use crate::answer::{End, Event};
use crate::error::Error;

/// Collects all choices.
///
/// # Errors
/// The first error of a choice; the other ones are then cancelled.
pub(super) async fn collect(
    head: &Head,
    style: Style,
    echoes: Vec<String>,
    mut batches: BoxStream<'static, Result<Batch, Error>>,
) -> Result<Response, Error> {
    let mut choices: Vec<Choice> = echoes.into_iter().map(Choice::after).collect();
    while let Some(batch) = batches.next().await {
        let (index, events) = batch?;
        for event in events {
            choices[index as usize].add(event);
        }
    }
    let mut ends = Vec::new();
    let mut shown = Vec::new();
    for (index, choice) in (0..).zip(choices) {
        let (choice, end) = choice.finish(index)?;
        shown.push(choice);
        ends.push(end);
    }
    let counted = ends.iter().enumerate().map(|(index, end)| usage::Choice {
        end,
        thinking: 0,
        counts_prompt: style.counts_prompt(index),
    });
    let timed = ends.first().filter(|_| style.timings);
    let answer = CompletionAnswer {
        choices: shown,
        usage: Some(usage::sum(counted)),
        timings: timed.map(|end| usage::timings(end)),
        ..empty(head)
    };
    Ok(Json(answer).into_response())
}

/// One choice, as its events come.
struct Choice {
    text: String,
    logprobs: Option<Vec<Logprob>>,
    end: Option<Box<End>>,
}

impl Choice {
    fn after(echo: String) -> Self {
        Self {
            text: echo,
            logprobs: None,
            end: None,
        }
    }

    fn add(&mut self, event: Event) {
        match event {
            Event::Text(text) => self.text.push_str(&text),
            Event::Logprobs(found) => self.logprobs.get_or_insert_default().extend(found),
            Event::End(end) => self.end = Some(end),
            _ => {}
        }
    }

    fn finish(self, index: u32) -> Result<(CompletionChoice, Box<End>), Error> {
        let end = self.end.ok_or(Error::Internal)?;
        let choice = CompletionChoice {
            index,
            text: self.text,
            logprobs: self.logprobs.map(|found| shown(found, &mut 0)),
            finish_reason: Some(finish_reason(&end.finish)),
        };
        Ok((choice, end))
    }
}
