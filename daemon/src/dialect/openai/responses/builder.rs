//! Makes the items of a response, and the events of its stream, from the events of an answer.

use api::openai::responses::{
    ContentPart, EventBody, FunctionCallItem, FunctionCallType, IncompleteDetails,
    InputTokensDetails, ItemStatus, LogprobEntry, MessageItem, MessageType, OutputItem, OutputText,
    OutputTokensDetails, ReasoningItem, ReasoningText, ReasoningType, Response, ResponseError,
    ResponseStatus, ResponseUsage, StreamEvent, SummaryText, TokenEntry,
};
use jiff::Timestamp;
use runner_protocol::{Likelihood, Logprob};
use serde_json::Value;

use super::super::tools::Names;
use super::{ids, items};
use crate::answer::{End, Event, Finish, Usage};
use crate::dialect::openai;
use crate::error::Error;
use crate::tools::quoted;

/// How reasoning is written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wants {
    /// As a summary.
    pub(super) summary: bool,
    /// Also as `encrypted_content`.
    pub(super) encrypted: bool,
}

/// A response that grows. The last item is open until the next one begins.
#[derive(Debug)]
pub(super) struct ResponseBuilder {
    response: Response,
    wants: Wants,
    names: Names,
    sequence: u64,
    is_open: bool,
    /// Bytes of the reasoning, and of everything.
    bytes: (usize, usize),
    events: Vec<StreamEvent>,
}

impl ResponseBuilder {
    /// For a response without output.
    pub(super) fn new(response: Response, wants: Wants, names: Names) -> Self {
        Self {
            response,
            wants,
            names,
            sequence: 0,
            is_open: false,
            bytes: (0, 0),
            events: Vec::new(),
        }
    }

    /// The response so far.
    pub(super) fn response(&mut self) -> &mut Response {
        &mut self.response
    }

    /// The events since the last call.
    pub(super) fn take_events(&mut self) -> Vec<StreamEvent> {
        std::mem::take(&mut self.events)
    }

    /// The response begins.
    pub(super) fn begin(&mut self) {
        self.response.status = ResponseStatus::InProgress;
        let response = Box::new(self.response.clone());
        self.emit(EventBody::Created {
            response: response.clone(),
        });
        self.emit(EventBody::InProgress { response });
    }

    /// Adds a batch of events. Returns whether the answer ended.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for a complete call whose arguments are not a JSON object.
    pub(super) fn add(&mut self, batch: Vec<Event>) -> Result<bool, Error> {
        let mut is_over = false;
        for event in batch {
            match event {
                Event::Started { .. } | Event::Progress { .. } => {}
                Event::Thinking(text) => self.think(text),
                Event::Text(text) => self.say(text, Vec::new()),
                Event::CallBegin { id, name, .. } => self.call(id, &name),
                Event::CallArguments { json, .. } => self.argue(json),
                Event::CallEnd { .. } => self.end_call()?,
                Event::Logprobs(logprobs) => self.add_logprobs(logprobs),
                Event::End(end) => {
                    self.end(&end)?;
                    is_over = true;
                }
            }
        }
        Ok(is_over)
    }

    /// The response fails with this error.
    pub(super) fn fail(&mut self, error: &Error) {
        self.close(ItemStatus::Incomplete);
        self.response.status = ResponseStatus::Failed;
        self.response.error = Some(ResponseError {
            code: match error {
                Error::ContextOverflow { .. } => "context_length_exceeded".to_owned(),
                Error::Busy { .. } | Error::Full => "rate_limit_exceeded".to_owned(),
                error if error.status().is_client_error() => "invalid_prompt".to_owned(),
                _ => "server_error".to_owned(),
            },
            message: openai::error::message(error),
        });
    }

    /// A client cancelled the response.
    pub(super) fn cancel(&mut self) {
        self.close(ItemStatus::Incomplete);
        self.response.status = ResponseStatus::Cancelled;
    }

    /// The last event, with the whole response.
    pub(super) fn finish(&mut self) {
        let response = Box::new(self.response.clone());
        self.emit(match self.response.status {
            ResponseStatus::Completed => EventBody::Completed { response },
            ResponseStatus::Incomplete => EventBody::Incomplete { response },
            _ => EventBody::Failed { response },
        });
    }

    fn emit(&mut self, body: EventBody) {
        let sequence_number = self.sequence;
        self.sequence += 1;
        self.events.push(StreamEvent {
            body,
            sequence_number,
        });
    }

    /// The open item, with its place and id.
    fn open_item(&mut self) -> Option<(usize, &mut OutputItem)> {
        let place = self.response.output.len().checked_sub(1)?;
        let item = self.response.output.last_mut()?;
        self.is_open.then_some((place, item))
    }

    fn push(&mut self, item: OutputItem) {
        let output_index = self.response.output.len();
        self.response.output.push(item.clone());
        self.is_open = true;
        self.emit(EventBody::ItemAdded { output_index, item });
    }

    fn next_id(&self, prefix: &str) -> String {
        ids::of_item(prefix, &self.response.id, self.response.output.len())
    }

    // ===== reasoning =====

    fn think(&mut self, delta: String) {
        self.bytes.0 += delta.len();
        self.bytes.1 += delta.len();
        if !matches!(self.open_item(), Some((_, OutputItem::Reasoning(_)))) {
            self.begin_reasoning();
        }
        let summary = self.wants.summary;
        let Some((output_index, OutputItem::Reasoning(item))) = self.open_item() else {
            return;
        };
        let item_id = item.id.clone();
        if summary {
            if let Some(text) = item.summary.first_mut() {
                text.text.push_str(&delta);
            }
            self.emit(EventBody::SummaryDelta {
                item_id,
                output_index,
                summary_index: 0,
                delta,
            });
        } else {
            if let Some(text) = item.content.iter_mut().flatten().next() {
                text.text.push_str(&delta);
            }
            self.emit(EventBody::ReasoningDelta {
                item_id,
                output_index,
                content_index: 0,
                delta,
            });
        }
    }

    fn begin_reasoning(&mut self) {
        self.close(ItemStatus::Completed);
        let item_id = self.next_id("rs");
        self.push(OutputItem::Reasoning(ReasoningItem {
            kind: ReasoningType::Value,
            id: item_id.clone(),
            summary: Vec::new(),
            content: None,
            encrypted_content: None,
            status: ItemStatus::InProgress,
        }));
        let summary = self.wants.summary;
        let Some((output_index, OutputItem::Reasoning(item))) = self.open_item() else {
            return;
        };
        if summary {
            item.summary.push(SummaryText::default());
            self.emit(EventBody::SummaryAdded {
                item_id,
                output_index,
                summary_index: 0,
                part: SummaryText::default(),
            });
        } else {
            item.content = Some(vec![ReasoningText::default()]);
            self.emit(EventBody::PartAdded {
                item_id,
                output_index,
                content_index: 0,
                part: ContentPart::Reasoning(ReasoningText::default()),
            });
        }
    }

    fn end_reasoning(&mut self, item: &ReasoningItem, output_index: usize) {
        let item_id = item.id.clone();
        if let Some(part) = item.summary.first().cloned() {
            self.emit(EventBody::SummaryDone {
                item_id: item_id.clone(),
                output_index,
                summary_index: 0,
                text: part.text.clone(),
            });
            self.emit(EventBody::SummaryPartDone {
                item_id,
                output_index,
                summary_index: 0,
                part,
            });
        } else if let Some(part) = item.content.iter().flatten().next().cloned() {
            self.emit(EventBody::ReasoningDone {
                item_id: item_id.clone(),
                output_index,
                content_index: 0,
                text: part.text.clone(),
            });
            self.emit(EventBody::PartDone {
                item_id,
                output_index,
                content_index: 0,
                part: ContentPart::Reasoning(part),
            });
        }
    }

    // ===== text =====

    fn say(&mut self, delta: String, logprobs: Vec<LogprobEntry>) {
        self.bytes.1 += delta.len();
        if !matches!(self.open_item(), Some((_, OutputItem::Message(_)))) {
            self.begin_message();
        }
        let Some((output_index, OutputItem::Message(item))) = self.open_item() else {
            return;
        };
        let item_id = item.id.clone();
        if let Some(part) = item.content.first_mut() {
            part.text.push_str(&delta);
            part.logprobs.extend_from_slice(&logprobs);
        }
        self.emit(EventBody::TextDelta {
            item_id,
            output_index,
            content_index: 0,
            delta,
            logprobs,
        });
    }

    fn begin_message(&mut self) {
        self.close(ItemStatus::Completed);
        let item_id = self.next_id("msg");
        self.push(OutputItem::Message(MessageItem {
            kind: MessageType::Value,
            id: item_id.clone(),
            status: ItemStatus::InProgress,
            role: "assistant".to_owned(),
            content: Vec::new(),
        }));
        let Some((output_index, OutputItem::Message(item))) = self.open_item() else {
            return;
        };
        item.content.push(OutputText::default());
        self.emit(EventBody::PartAdded {
            item_id,
            output_index,
            content_index: 0,
            part: ContentPart::Text(OutputText::default()),
        });
    }

    /// Logprobs come after the text of their tokens, in the same batch. Those of reasoning and calls are left out.
    fn add_logprobs(&mut self, logprobs: Vec<Logprob>) {
        let logprobs: Vec<LogprobEntry> = logprobs.into_iter().map(entry).collect();
        if !matches!(self.open_item(), Some((_, OutputItem::Message(_)))) {
            return;
        }
        let last = self.events.last_mut().map(|event| &mut event.body);
        let Some(EventBody::TextDelta {
            logprobs: of_delta, ..
        }) = last
        else {
            // Tokens whose text comes later.
            self.say(String::new(), logprobs);
            return;
        };
        of_delta.extend_from_slice(&logprobs);
        if let Some((_, OutputItem::Message(item))) = self.open_item()
            && let Some(part) = item.content.first_mut()
        {
            part.logprobs.extend(logprobs);
        }
    }

    fn end_message(&mut self, item: &MessageItem, output_index: usize) {
        let Some(part) = item.content.first().cloned() else {
            return;
        };
        let item_id = item.id.clone();
        self.emit(EventBody::TextDone {
            item_id: item_id.clone(),
            output_index,
            content_index: 0,
            text: part.text.clone(),
            logprobs: part.logprobs.clone(),
        });
        self.emit(EventBody::PartDone {
            item_id,
            output_index,
            content_index: 0,
            part: ContentPart::Text(part),
        });
    }

    // ===== calls =====

    fn call(&mut self, call_id: String, name: &str) {
        self.close(ItemStatus::Completed);
        self.bytes.1 += name.len();
        let (namespace, name) = self.names.apart(name);
        let id = self.next_id("fc");
        self.push(OutputItem::FunctionCall(FunctionCallItem {
            kind: FunctionCallType::Value,
            id,
            call_id,
            name,
            namespace,
            arguments: String::new(),
            status: ItemStatus::InProgress,
        }));
    }

    fn argue(&mut self, delta: String) {
        self.bytes.1 += delta.len();
        let Some((output_index, OutputItem::FunctionCall(item))) = self.open_item() else {
            return;
        };
        item.arguments.push_str(&delta);
        let item_id = item.id.clone();
        self.emit(EventBody::ArgumentsDelta {
            item_id,
            output_index,
            delta,
        });
    }

    fn end_call(&mut self) -> Result<(), Error> {
        let Some((_, OutputItem::FunctionCall(item))) = self.open_item() else {
            return Ok(());
        };
        if item.arguments.trim().is_empty() {
            self.argue("{}".to_owned());
        } else if !matches!(serde_json::from_str(&item.arguments), Ok(Value::Object(_))) {
            return Err(Error::Unreadable(format!(
                "the model called {} with arguments that are no JSON object: {}",
                quoted(&item.name),
                quoted(&item.arguments)
            )));
        }
        self.close(ItemStatus::Completed);
        Ok(())
    }

    // ===== ends =====

    /// Ends the open item.
    fn close(&mut self, status: ItemStatus) {
        let encrypted = self.wants.encrypted;
        let Some((output_index, item)) = self.open_item() else {
            return;
        };
        match item {
            OutputItem::Reasoning(item) => {
                item.status = status;
                item.encrypted_content = encrypted.then(|| items::sealed(&text_of(item)));
            }
            OutputItem::Message(item) => item.status = status,
            OutputItem::FunctionCall(item) => item.status = status,
        }
        let item = item.clone();
        self.is_open = false;
        match &item {
            OutputItem::Reasoning(item) => self.end_reasoning(item, output_index),
            OutputItem::Message(item) => self.end_message(item, output_index),
            OutputItem::FunctionCall(item) => self.emit(EventBody::ArgumentsDone {
                item_id: item.id.clone(),
                output_index,
                name: item.name.clone(),
                arguments: item.arguments.clone(),
            }),
        }
        self.emit(EventBody::ItemDone { output_index, item });
    }

    fn end(&mut self, end: &End) -> Result<(), Error> {
        let is_cut = end.finish == Finish::Length;
        if !is_cut {
            self.end_call()?;
        }
        self.close(match is_cut {
            true => ItemStatus::Incomplete,
            false => ItemStatus::Completed,
        });
        self.response.usage = Some(self.usage(end.usage));
        if end.usage.dropped_turns > 0 || end.usage.truncated > 0 {
            self.response.warnings.push(format!(
                "the prompt did not fit the context: {} messages and {} tokens were left out",
                end.usage.dropped_turns, end.usage.truncated
            ));
        }
        if is_cut {
            self.response.status = ResponseStatus::Incomplete;
            self.response.incomplete_details = Some(IncompleteDetails {
                reason: "max_output_tokens".to_owned(),
            });
        } else {
            self.response.status = ResponseStatus::Completed;
            self.response.completed_at = Some(Timestamp::now().as_second());
        }
        Ok(())
    }

    fn usage(&self, usage: Usage) -> ResponseUsage {
        let (reasoning, all) = self.bytes;
        let share = u64::from(usage.generated) * reasoning as u64 / (all as u64).max(1);
        ResponseUsage {
            input_tokens: usage.prompt,
            input_tokens_details: InputTokensDetails {
                cached_tokens: usage.cached,
                cache_write_tokens: 0,
            },
            output_tokens: usage.generated,
            output_tokens_details: OutputTokensDetails {
                reasoning_tokens: u32::try_from(share).unwrap_or(usage.generated),
            },
            total_tokens: usage.prompt.saturating_add(usage.generated),
        }
    }
}

/// The thinking of an item.
fn text_of(item: &ReasoningItem) -> String {
    let summary = item.summary.iter().map(|text| text.text.as_str());
    let content = item.content.iter().flatten().map(|text| text.text.as_str());
    summary.chain(content).collect()
}

fn entry(logprob: Logprob) -> LogprobEntry {
    let one = |likelihood: Likelihood| TokenEntry {
        token: String::from_utf8_lossy(&likelihood.bytes).into_owned(),
        logprob: likelihood.logprob,
        bytes: likelihood.bytes,
    };
    LogprobEntry {
        chosen: one(logprob.chosen),
        top_logprobs: logprob.top.into_iter().map(one).collect(),
    }
}
