//! One answer of a model, from the first token to the account of what it took.

use std::time::Duration;

use api::{DoneReason, Timings};
use futures::{Stream, StreamExt};
use runner::protocol::{Done, Generate, Logprob, Overflow, Prompt, StopReason};
use runner::supervisor::{Generation, Step};
use tokio::time::Instant;

use crate::app::Chosen;
use crate::error::Error;
use crate::form::Form;
use crate::options::Resolved;
use crate::scheduler::Lease;

/// More of an answer.
#[derive(Debug)]
pub enum Piece {
    /// Text.
    Text(Said),
    /// The end.
    End(Box<End>),
}

/// Text of an answer.
#[derive(Debug, Default)]
pub struct Said {
    /// The text.
    pub text: String,
    /// How likely its tokens were, where that was asked for.
    pub logprobs: Vec<Logprob>,
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

/// The call for one answer.
pub fn request(prompt: Prompt, options: &Resolved, overflow: Overflow, form: &Form) -> Generate {
    Generate {
        prompt,
        sampling: options.sampling.clone(),
        max_tokens: options.max_tokens,
        stop: options.stop.clone(),
        overflow,
        adapter_scales: None,
        constraint: form.constraint.clone(),
        logprobs: form.logprobs,
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
            let goes_on = matches!(piece, Ok(Piece::Text(_)));
            Some((piece, goes_on.then_some(answer)))
        })
    }

    /// The whole answer at once.
    ///
    /// # Errors
    /// What went wrong on the way.
    pub async fn collect(mut self) -> Result<(Said, End), Error> {
        let mut said = Said::default();
        loop {
            match self.next().await? {
                Piece::Text(mut more) => {
                    said.text.push_str(&more.text);
                    said.logprobs.append(&mut more.logprobs);
                }
                Piece::End(end) => return Ok((said, *end)),
            }
        }
    }

    async fn next(&mut self) -> Result<Piece, Error> {
        loop {
            let step = match self.first.take() {
                Some(step) => Some(Ok(step)),
                None => self.generation.next().await,
            };
            match step {
                Some(Ok(Step::Prefill { .. })) => {}
                Some(Ok(Step::Delta(delta))) => {
                    return Ok(Piece::Text(Said {
                        text: delta.text,
                        logprobs: delta.logprobs,
                    }));
                }
                Some(Ok(Step::Done(done))) => {
                    return self.end(*done).map(|end| Piece::End(Box::new(end)));
                }
                Some(Err(error)) => return Err(Error::runner(&self.model, error)),
                None => return Err(Error::Internal),
            }
        }
    }

    fn end(&self, done: Done) -> Result<End, Error> {
        let reason = match done.reason {
            StopReason::Stop => DoneReason::Stop,
            StopReason::Length => DoneReason::Length,
            // Nobody here asks for that but by dropping the answer.
            StopReason::Cancelled => return Err(Error::Stopping),
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
                truncated_tokens: done.truncated,
                truncated_messages: self.dropped,
                seed: Some(done.seed),
                ..self.clock.timings()
            },
            tokens: done.all_tokens,
        })
    }
}
