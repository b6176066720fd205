//! One answer of a model, as a stream of typed events.
//!
//! The events belong to no dialect. They come in batches: the events of one message of the runner stay together, so that a dialect
//! can write them in one line or frame.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{Stream, StreamExt};
use runner_protocol::{Delta, Done, Generate, Logprob, StopReason, ToolCallDelta};
use supervisor::{Generation, Step};
use tokio::time::Instant;

use crate::error::Error;
use crate::random;
use crate::scheduler::Lease;

/// An event of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The request has a slot, and its prefill begins. The first event.
    Started {
        /// Tokens of the prompt.
        prompt_tokens: u32,
        /// Of these, tokens that the KV cache has already.
        cached_tokens: u32,
    },
    /// Progress of prefill.
    Progress {
        /// Tokens of the prompt in the KV cache.
        done: u32,
        /// All tokens of the prompt.
        total: u32,
    },
    /// More of the model's thinking.
    Thinking(String),
    /// More of the text.
    Text(String),
    /// A tool call begins.
    CallBegin {
        /// Index of the call in the answer, from 0.
        index: u32,
        /// Its id: the model's, or a random one.
        id: String,
        /// Name of the tool.
        name: String,
    },
    /// More of the arguments of the call that began last.
    CallArguments {
        /// Index of the call.
        index: u32,
        /// A piece of a JSON object.
        json: String,
    },
    /// A call is complete, and comes before any further thinking or text. A call that was cut off has no such event.
    CallEnd {
        /// Index of the call.
        index: u32,
    },
    /// Logprobs of the tokens whose text begins in this batch.
    Logprobs(Vec<Logprob>),
    /// The end of the answer. The last event.
    End(Box<End>),
}

impl Event {
    /// Whether the event is part of the answer itself.
    pub(crate) fn is_output(&self) -> bool {
        !matches!(self, Self::Started { .. } | Self::Progress { .. })
    }
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// Why it ended.
    pub finish: Finish,
    /// Its token counts.
    pub usage: Usage,
    /// How long it took.
    pub timings: Timings,
    /// The seed of the sampler.
    pub seed: u64,
    /// The tokens of prompt and answer; empty if the prompt has images.
    pub tokens: Vec<i32>,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// The model ended its turn.
    Turn,
    /// The model generated this stop text of the request.
    StopText(String),
    /// The answer reached the limit of tokens, or the context is full.
    Length,
    /// The model ended its turn with tool calls.
    ToolCalls,
}

/// Token counts of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, after truncation.
    pub prompt: u32,
    /// Of these, tokens from the KV cache.
    pub cached: u32,
    /// Tokens of the answer.
    pub generated: u32,
    /// Drafted tokens.
    pub drafted: u32,
    /// Of these, tokens that were accepted.
    pub accepted: u32,
    /// Tokens that were cut from the prompt.
    pub truncated: u32,
    /// Turns that were dropped from the conversation.
    pub dropped_turns: u32,
}

/// How long an answer took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the arrival of the request to the end.
    pub total: Duration,
    /// From the arrival until the model was loaded.
    pub load: Duration,
    /// From admission to the last token of the prompt.
    pub prefill: Duration,
    /// From the last token of the prompt to the end.
    pub decode: Duration,
}

/// When a request arrived, and how long it waited for its model.
#[derive(Debug, Clone, Copy)]
pub struct RequestTimes {
    arrived: Instant,
    load: Duration,
}

impl RequestTimes {
    /// For a request that arrived at `arrived`, whose model is loaded now.
    pub fn loaded(arrived: Instant) -> Self {
        Self {
            arrived,
            load: arrived.elapsed(),
        }
    }

    /// The times until now, without prefill and decode.
    pub fn timings(&self) -> Timings {
        Timings {
            total: self.arrived.elapsed(),
            load: self.load,
            ..Timings::default()
        }
    }
}

/// An answer that has a slot. Dropping it cancels the generation and returns the lease.
#[derive(Debug)]
pub struct Answer {
    generation: Generation,
    lease: Lease,
    model: String,
    times: RequestTimes,
    dropped_turns: u32,
    calls: CallTracker,
    /// Batches that were read ahead of the stream.
    ready: VecDeque<Vec<Event>>,
}

/// A lease whose runner refused the request, and the error.
pub(crate) type Refused = (Lease, Error);

impl Answer {
    /// Sends a request to the runner of `lease`, and waits for the first of these events.
    ///
    /// # Errors
    /// The error of a request without such an event, with the lease, so that the caller can try a shorter prompt.
    pub(crate) async fn begin(
        lease: Lease,
        model: String,
        generate: Generate,
        times: RequestTimes,
        until: fn(&Event) -> bool,
    ) -> Result<Self, Box<Refused>> {
        let generation = match lease.runner().generate(generate).await {
            Ok(generation) => generation,
            Err(error) => return Err(Box::new((lease, Error::runner(&model, error)))),
        };
        let mut answer = Self {
            generation,
            lease,
            model,
            times,
            dropped_turns: 0,
            calls: CallTracker::default(),
            ready: VecDeque::new(),
        };
        match answer.read_until(until).await {
            Ok(()) => Ok(answer),
            Err(error) => Err(Box::new((answer.lease, error))),
        }
    }

    /// Notes how many turns were dropped from the conversation.
    #[must_use]
    pub(crate) fn after_dropping(mut self, turns: usize) -> Self {
        self.dropped_turns = u32::try_from(turns).unwrap_or(u32::MAX);
        self
    }

    /// Waits for the first output. A dialect can then report an earlier error by the status of its response.
    ///
    /// # Errors
    /// The error of an answer without output.
    pub async fn with_output(mut self) -> Result<Self, Error> {
        self.read_until(Event::is_output).await?;
        Ok(self)
    }

    /// Reads batches until one has such an event, and keeps them for the stream.
    async fn read_until(&mut self, is_found: fn(&Event) -> bool) -> Result<(), Error> {
        let mut read = VecDeque::new();
        loop {
            let batch = self.next().await?;
            let found = batch.iter().any(is_found);
            read.push_back(batch);
            if found {
                self.ready = read;
                return Ok(());
            }
        }
    }

    /// The batches as they come; none is empty. The last one ends with [`Event::End`] or is an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Vec<Event>, Error>> + Send + 'static {
        futures::stream::unfold(Some(self), |answer| async move {
            let mut answer = answer?;
            let batch = answer.next().await;
            let goes_on = match &batch {
                Ok(events) => !matches!(events.last(), Some(Event::End(_))),
                Err(_) => false,
            };
            Some((batch, goes_on.then_some(answer)))
        })
    }

    async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(batch);
            }
            let batch = match self.generation.next().await {
                Some(Ok(step)) => self.read(step)?,
                Some(Err(error)) => return Err(Error::runner(&self.model, error)),
                None => return Err(Error::Internal),
            };
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
    }

    /// The events in one message of the runner.
    fn read(&mut self, step: Step) -> Result<Vec<Event>, Error> {
        Ok(match step {
            Step::Started {
                prompt_tokens,
                cached_tokens,
            } => vec![Event::Started {
                prompt_tokens,
                cached_tokens,
            }],
            Step::Prefill { done, total } => vec![Event::Progress { done, total }],
            Step::Delta(delta) => self.calls.read(delta),
            Step::Done(done) => {
                let closed = match done.reason {
                    StopReason::Stop => self.calls.close(),
                    StopReason::Length | StopReason::Cancelled => None,
                };
                let end = Event::End(Box::new(self.end(*done)?));
                closed.into_iter().chain([end]).collect()
            }
        })
    }

    fn end(&self, done: Done) -> Result<End, Error> {
        let finish = match (done.reason, done.stop_text) {
            (StopReason::Stop, Some(text)) => Finish::StopText(text),
            (StopReason::Stop, None) if self.calls.any => Finish::ToolCalls,
            (StopReason::Stop, None) => Finish::Turn,
            (StopReason::Length, _) => Finish::Length,
            // A client cancels by dropping the answer, so only a stopping daemon cancels here.
            (StopReason::Cancelled, _) => return Err(Error::Ended),
        };
        tracing::debug!(
            model = %self.model,
            context = self.lease.loaded().context,
            prompt_tokens = done.prompt_tokens,
            tokens = done.tokens,
            "answered"
        );
        Ok(End {
            finish,
            usage: Usage {
                prompt: done.prompt_tokens,
                cached: done.cached_tokens,
                generated: done.tokens,
                drafted: done.drafted,
                accepted: done.accepted,
                truncated: done.truncated,
                dropped_turns: self.dropped_turns,
            },
            timings: Timings {
                prefill: Duration::from_nanos(done.prefill_ns),
                decode: Duration::from_nanos(done.decode_ns),
                ..self.times.timings()
            },
            seed: done.seed,
            tokens: done.all_tokens,
        })
    }
}

/// Finds the begin and the end of each tool call.
#[derive(Debug, Default)]
struct CallTracker {
    /// The call that is not complete yet.
    open: Option<u32>,
    /// Whether the answer has a call.
    any: bool,
}

impl CallTracker {
    /// The events of a delta, in the order of the protocol.
    fn read(&mut self, delta: Delta) -> Vec<Event> {
        let mut events = Vec::new();
        let follows = !delta.reasoning.is_empty() || !delta.text.is_empty();
        let goes_on =
            matches!(delta.tool_calls.first(), Some(call) if self.open == Some(call.index));
        if follows && !goes_on {
            events.extend(self.close());
        }
        if !delta.reasoning.is_empty() {
            events.push(Event::Thinking(delta.reasoning));
        }
        if !delta.text.is_empty() {
            events.push(Event::Text(delta.text));
        }
        for call in delta.tool_calls {
            self.add(call, &mut events);
        }
        if !delta.logprobs.is_empty() {
            events.push(Event::Logprobs(delta.logprobs));
        }
        events
    }

    fn add(&mut self, call: ToolCallDelta, events: &mut Vec<Event>) {
        let ToolCallDelta {
            index,
            id,
            name,
            arguments,
        } = call;
        if self.open != Some(index) {
            events.extend(self.close());
            self.open = Some(index);
            self.any = true;
            let id = if id.is_empty() { new_id() } else { id };
            events.push(Event::CallBegin { index, id, name });
        }
        if !arguments.is_empty() {
            events.push(Event::CallArguments {
                index,
                json: arguments,
            });
        }
    }

    fn close(&mut self) -> Option<Event> {
        let index = self.open.take()?;
        Some(Event::CallEnd { index })
    }
}

/// `call_` and eight random letters and digits.
fn new_id() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bits = random::bits();
    let letter = |index: u32| char::from(LETTERS[(bits >> (5 * index)) as usize % LETTERS.len()]);
    format!("call_{}", (0..8).map(letter).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(index: u32, id: &str, name: &str, arguments: &str) -> ToolCallDelta {
        ToolCallDelta {
            index,
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        }
    }

    #[test]
    fn a_call_ends_when_the_next_one_begins() {
        let mut calls = CallTracker::default();
        let mut events = Vec::new();
        for delta in [
            call(0, "a", "f", "{\"x\":"),
            call(0, "", "", " 1}"),
            call(1, "b", "g", ""),
        ] {
            calls.add(delta, &mut events);
        }
        events.extend(calls.close());
        let begin = |index, id: &str, name: &str| Event::CallBegin {
            index,
            id: id.into(),
            name: name.into(),
        };
        let arguments = |json: &str| Event::CallArguments {
            index: 0,
            json: json.into(),
        };
        assert_eq!(
            events,
            [
                begin(0, "a", "f"),
                arguments("{\"x\":"),
                arguments(" 1}"),
                Event::CallEnd { index: 0 },
                begin(1, "b", "g"),
                Event::CallEnd { index: 1 },
            ]
        );
        assert_eq!(calls.close(), None);
    }

    #[test]
    fn a_call_ends_when_text_follows() {
        let mut calls = CallTracker::default();
        let begun = calls.read(Delta {
            tool_calls: vec![call(0, "a", "f", "")],
            ..Delta::default()
        });
        assert_eq!(begun.len(), 1);
        let followed = calls.read(Delta {
            reasoning: "hm".into(),
            ..Delta::default()
        });
        let thinking = Event::Thinking("hm".into());
        assert_eq!(followed, [Event::CallEnd { index: 0 }, thinking]);
        assert_eq!(calls.close(), None);
    }

    #[test]
    fn a_call_without_an_id_gets_one() {
        let mut events = Vec::new();
        CallTracker::default().add(call(0, "", "f", ""), &mut events);
        let [Event::CallBegin { id, .. }] = &events[..] else {
            panic!("{events:?}");
        };
        assert!(id.len() == 13 && id.starts_with("call_"), "{id}");
        assert_ne!(*id, new_id());
    }

    #[test]
    fn the_parts_of_a_delta_are_events_of_one_batch() {
        let delta = Delta {
            text: "b".into(),
            reasoning: "a".into(),
            tokens: 2,
            ..Delta::default()
        };
        let events = CallTracker::default().read(delta);
        assert_eq!(
            events,
            [Event::Thinking("a".into()), Event::Text("b".into())]
        );
        assert!(CallTracker::default().read(Delta::default()).is_empty());
    }
}
