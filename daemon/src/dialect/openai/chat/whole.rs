//! A whole answer.

use api::openai::{AnswerMessage, ChatAnswer, ChatChoice, FunctionCall, ToolCall};
use futures::StreamExt;
use futures::stream::BoxStream;
use runner_protocol::Logprob;
use serde_json::Value;

use super::super::choices::Batch;
use super::super::head::{FINGERPRINT, Head};
use super::super::tools::Names;
use super::super::{logprobs, usage};
use super::{Style, finish_reason};
use crate::answer::{End, Event};
use crate::error::Error;

/// Collects all choices.
///
/// # Errors
/// The first error of a choice; the other ones are then cancelled.
pub(super) async fn collect(
    head: Head,
    style: Style,
    names: &Names,
    count: usize,
    mut batches: BoxStream<'static, Result<Batch, Error>>,
) -> Result<ChatAnswer, Error> {
    let mut choices: Vec<Choice> = Vec::new();
    choices.resize_with(count, Choice::default);
    while let Some(batch) = batches.next().await {
        let (index, events) = batch?;
        for event in events {
            choices[index as usize].add(event, names);
        }
    }
    let ended = choices.into_iter().map(|choice| {
        let end = choice.end.clone().ok_or(Error::Internal)?;
        Ok((choice, end))
    });
    let ended: Vec<(Choice, Box<End>)> = ended.collect::<Result<_, Error>>()?;
    let counted = ended
        .iter()
        .enumerate()
        .map(|(index, (choice, end))| usage::Choice {
            end,
            thinking: choice.thoughts,
            counts_prompt: index == 0,
        });
    let usage = usage::sum(counted);
    let first = ended.first().filter(|_| style.timings);
    let timings = first.map(|(_, end)| usage::timings(end));
    let choices = (0..).zip(ended);
    Ok(ChatAnswer {
        id: head.id,
        object: "chat.completion".to_owned(),
        created: head.created,
        model: head.model,
        system_fingerprint: FINGERPRINT.to_owned(),
        choices: choices
            .map(|(index, (choice, end))| choice.finish(index, &end, style))
            .collect(),
        usage,
        timings,
    })
}

/// One choice, as its events come.
#[derive(Default)]
struct Choice {
    thinking: String,
    thoughts: u32,
    text: String,
    /// The calls, and whether each is complete.
    calls: Vec<(ToolCall, String, bool)>,
    logprobs: Option<Vec<Logprob>>,
    end: Option<Box<End>>,
}

impl Choice {
    fn add(&mut self, event: Event, names: &Names) {
        match event {
            Event::Started { .. } | Event::Progress { .. } => {}
            Event::Thinking(text) => {
                self.thinking.push_str(&text);
                self.thoughts += 1;
            }
            Event::Text(text) => self.text.push_str(&text),
            Event::CallBegin { id, name, .. } => {
                let (namespace, name) = names.apart(&name);
                let call = ToolCall {
                    id: Some(id),
                    kind: Some("function".to_owned()),
                    function: FunctionCall {
                        name,
                        namespace,
                        arguments: Value::Null,
                    },
                    ..ToolCall::default()
                };
                self.calls.push((call, String::new(), false));
            }
            Event::CallArguments { json, .. } => {
                if let Some((_, arguments, _)) = self.calls.last_mut() {
                    arguments.push_str(&json);
                }
            }
            Event::CallEnd { .. } => {
                if let Some((_, _, is_complete)) = self.calls.last_mut() {
                    *is_complete = true;
                }
            }
            Event::Logprobs(logprobs) => self.logprobs.get_or_insert_default().extend(logprobs),
            Event::End(end) => self.end = Some(end),
        }
    }

    fn finish(self, index: u32, end: &End, style: Style) -> ChatChoice {
        // A call that was cut off has no arguments that a client could parse.
        let complete = self
            .calls
            .into_iter()
            .filter(|(_, _, is_complete)| *is_complete);
        let calls = complete.map(|(mut call, arguments, _)| {
            let is_empty = arguments.trim().is_empty();
            call.function.arguments = match is_empty {
                true => Value::from("{}"),
                false => Value::from(arguments),
            };
            call
        });
        let mut calls: Vec<ToolCall> = calls.collect();
        let has_call = !calls.is_empty();
        let function_call = match style.functions {
            true => calls.drain(..).next().map(|call| call.function),
            false => None,
        };
        let thinking = Some(self.thinking).filter(|text| !text.is_empty());
        ChatChoice {
            index,
            message: AnswerMessage {
                role: "assistant".to_owned(),
                content: Some(self.text).filter(|text| !has_call || !text.is_empty()),
                refusal: None,
                reasoning: thinking.clone(),
                reasoning_content: thinking,
                tool_calls: Some(calls).filter(|calls| !calls.is_empty()),
                function_call,
            },
            logprobs: self.logprobs.map(logprobs::of_chat),
            finish_reason: finish_reason(&end.finish, has_call, style).to_owned(),
        }
    }
}
