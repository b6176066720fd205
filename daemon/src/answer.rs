//! One answer of a model, from the first token to the account of what it took.

use std::time::Duration;

use api::{DoneReason, Timings, ToolCall};
use futures::{Stream, StreamExt};
use runner_protocol::{
    Delta, Done, Generate, Images, Logprob, Overflow, Prompt, StopReason, Template,
};
use supervisor::{Generation, Step};
use tokio::time::Instant;

use crate::app::Chosen;
use crate::error::Error;
use crate::form::Form;
use crate::options::Resolved;
use crate::scheduler::Lease;
use crate::tools::Calls;

/// More of an answer.
#[derive(Debug)]
pub enum Piece {
    /// What it is made of.
    Part(Part),
    /// The end.
    End(Box<End>),
}

/// What an answer, or a piece of it, is made of.
#[derive(Debug, Default)]
pub struct Part {
    /// What the model thinks.
    pub thinking: String,
    /// What it says.
    pub text: String,
    /// What it calls; each call is whole.
    pub calls: Vec<ToolCall>,
    /// How likely its tokens were, where that was asked for.
    pub logprobs: Vec<Logprob>,
}

impl Part {
    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.thinking.is_empty()
            && self.text.is_empty()
            && self.calls.is_empty()
            && self.logprobs.is_empty()
    }

    /// Thoughts, as a field of an event that is left out when there are none.
    pub fn take_thinking(&mut self) -> Option<String> {
        let thinking = std::mem::take(&mut self.thinking);
        (!thinking.is_empty()).then_some(thinking)
    }

    /// The same of calls.
    pub fn take_calls(&mut self) -> Option<Vec<ToolCall>> {
        let calls = std::mem::take(&mut self.calls);
        (!calls.is_empty()).then_some(calls)
    }
}

/// How an answer ended.
#[derive(Debug)]
pub struct End {
    /// Why.
    pub reason: DoneReason,
    /// What it took.
    pub timings: Timings,
    /// Prompt and answer as tokens.
    pub tokens: Vec<i32>,
}

/// What the clock said so far.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    arrived: Instant,
    load: Duration,
}

impl Clock {
    /// To be read when the model is loaded.
    pub(crate) fn loaded(chosen: &Chosen) -> Self {
        Self {
            arrived: chosen.arrived,
            load: chosen.arrived.elapsed(),
        }
    }

    /// For an answer without text: only loading took time.
    pub fn timings(&self) -> Timings {
        Timings {
            total_duration: nanos(self.arrived.elapsed()),
            load_duration: nanos(self.load),
            ..Timings::default()
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The call for one answer. A prompt that is no conversation may say by which one its answer is read.
pub fn request(
    prompt: Prompt,
    read_as: Option<Template>,
    images: Option<Images>,
    options: &Resolved,
    overflow: Overflow,
    form: &Form,
) -> Generate {
    Generate {
        read_as: match prompt {
            Prompt::Chat(_) => None,
            _ => read_as.map(Box::new),
        },
        prompt,
        sampling: options.sampling.clone(),
        max_tokens: options.max_tokens,
        stop: options.stop.clone(),
        overflow,
        adapter_scales: None,
        context: Some(options.load.context),
        deterministic: options.deterministic,
        constraint: form.constraint.clone(),
        logprobs: form.logprobs,
        draft: options.draft,
        images,
    }
}

/// An answer that has begun. Dropping it stops the model and gives the lease back.
#[derive(Debug)]
pub struct Answer {
    first: Option<Step>,
    generation: Generation,
    lease: Lease,
    model: String,
    clock: Clock,
    dropped: u32,
    calls: Calls,
    /// What the runner said at the end, when something had to leave before it.
    done: Option<Box<Done>>,
}

/// A lease that could not be used for this prompt, and why.
pub type Refused = (Lease, Error);

impl Answer {
    /// Starts an answer and waits for its first token, so that whatever goes wrong before has a status of its own.
    ///
    /// # Errors
    /// Why there is none, with the lease, so that a shorter prompt can be tried.
    pub async fn begin(
        lease: Lease,
        model: String,
        generate: Generate,
        clock: Clock,
    ) -> Result<Self, Box<Refused>> {
        let mut generation = match lease.runner().generate(generate).await {
            Ok(generation) => generation,
            Err(error) => return Err(Box::new((lease, Error::runner(&model, error)))),
        };
        loop {
            match generation.next().await {
                Some(Ok(Step::Prefill { .. })) => {}
                Some(Ok(first)) => {
                    return Ok(Self {
                        first: Some(first),
                        generation,
                        lease,
                        model,
                        clock,
                        dropped: 0,
                        calls: Calls::default(),
                        done: None,
                    });
                }
                Some(Err(error)) => return Err(Box::new((lease, Error::runner(&model, error)))),
                None => return Err(Box::new((lease, Error::Internal))),
            }
        }
    }

    /// Notes that messages were dropped from the conversation.
    #[must_use]
    pub fn after_dropping(mut self, messages: usize) -> Self {
        self.dropped = u32::try_from(messages).unwrap_or(u32::MAX);
        self
    }

    /// The pieces as they come. The last is [`Piece::End`] or an error, and there is only one of them.
    pub fn into_stream(self) -> impl Stream<Item = Result<Piece, Error>> + Send + 'static {
        futures::stream::unfold(Some(self), |answer| async move {
            let mut answer = answer?;
            let piece = answer.next().await;
            let goes_on = matches!(piece, Ok(Piece::Part(_)));
            Some((piece, goes_on.then_some(answer)))
        })
    }

    /// The whole answer at once.
    ///
    /// # Errors
    /// What went wrong on the way.
    pub async fn collect(mut self) -> Result<(Part, End), Error> {
        let mut whole = Part::default();
        loop {
            match self.next().await? {
                Piece::Part(part) => {
                    whole.thinking.push_str(&part.thinking);
                    whole.text.push_str(&part.text);
                    whole.calls.extend(part.calls);
                    whole.logprobs.extend(part.logprobs);
                }
                Piece::End(end) => return Ok((whole, *end)),
            }
        }
    }

    async fn next(&mut self) -> Result<Piece, Error> {
        loop {
            if let Some(done) = self.done.take() {
                return self.end(*done).map(|end| Piece::End(Box::new(end)));
            }
            let step = match self.first.take() {
                Some(step) => Some(Ok(step)),
                None => self.generation.next().await,
            };
            match step {
                Some(Ok(Step::Prefill { .. })) => {}
                Some(Ok(Step::Delta(delta))) => {
                    let part = self.part(delta)?;
                    // A piece of a call waits for the rest of it.
                    if !part.is_empty() {
                        return Ok(Piece::Part(part));
                    }
                }
                Some(Ok(Step::Done(done))) => {
                    let last = self.calls.finish(done.reason != StopReason::Stop)?;
                    self.done = Some(done);
                    if let Some(call) = last {
                        return Ok(Piece::Part(Part {
                            calls: vec![call],
                            ..Part::default()
                        }));
                    }
                }
                Some(Err(error)) => return Err(Error::runner(&self.model, error)),
                None => return Err(Error::Internal),
            }
        }
    }

    fn part(&mut self, delta: Delta) -> Result<Part, Error> {
        Ok(Part {
            thinking: delta.reasoning,
            text: delta.text,
            calls: self.calls.add(delta.tool_calls)?,
            logprobs: delta.logprobs,
        })
    }

    fn end(&self, done: Done) -> Result<End, Error> {
        let reason = match done.reason {
            StopReason::Stop => DoneReason::Stop,
            StopReason::Length => DoneReason::Length,
            // Nobody here asks for that but by dropping the answer.
            StopReason::Cancelled => return Err(Error::Ended),
        };
        tracing::debug!(
            model = %self.model,
            context = self.lease.loaded().context,
            prompt_tokens = done.prompt_tokens,
            tokens = done.tokens,
            "answered"
        );
        Ok(End {
            reason,
            timings: Timings {
                prompt_eval_count: done.prompt_tokens,
                prompt_eval_duration: done.prefill_ns,
                eval_count: done.tokens,
                eval_duration: done.decode_ns,
                cached_tokens: done.cached_tokens,
                drafted_tokens: done.drafted,
                accepted_tokens: done.accepted,
                truncated_tokens: done.truncated,
                truncated_messages: self.dropped,
                seed: Some(done.seed),
                ..self.clock.timings()
            },
            tokens: done.all_tokens,
        })
    }
}
