//! A request that is being answered.

use llama_cpp_2::token::LlamaToken;
use runner_protocol::{Done, Event, StopReason};

use crate::{
    answer::{Answer, report::Report},
    cache::slots::Tenant,
    images::PlacedImages,
    model::adapters::AdapterScales,
    outbox::{count, nanoseconds},
    sampler::Chooser,
    schedule::clock::Clock,
    speculation::Drafting,
};

/// Cells that are reserved ahead, so that a newly admitted sequence is not the reason for an eviction at once.
const LOOK_AHEAD: usize = 64;

/// A request between its arrival and its end.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// Id of the request.
    pub(crate) id: u64,
    /// Prompt and answer.
    pub(crate) tokens: Vec<LlamaToken>,
    /// How many of the tokens are the prompt.
    pub(crate) prompt: usize,
    /// How many of the tokens were found in a cache.
    pub(crate) reused: usize,
    /// The images among the tokens.
    pub(crate) placed_images: PlacedImages,
    /// Scales of its adapters.
    pub(crate) scales: AdapterScales,
    /// Most tokens of the answer.
    pub(crate) max_tokens: usize,
    /// Tokens of prompt and answer together.
    pub(crate) cells: usize,
    /// Deterministic: it runs alone, from an empty cache, in steps of a fixed size.
    pub(crate) alone: bool,
    /// Tokens cut from the prompt.
    pub(crate) truncated: usize,
    /// Samples the next token.
    pub(crate) chooser: Chooser,
    /// Draft tokens, and how they turned out.
    pub(crate) drafting: Drafting,
    /// The answer so far.
    pub(crate) answer: Answer,
    /// Logprobs of tokens whose text is held back.
    pub(crate) report: Report,
    /// When it arrived, was admitted, and had its prompt computed.
    pub(crate) clock: Clock,
}

impl Sequence {
    /// Tokens of the answer.
    pub(crate) fn generated(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// What the daemon is told when the sequence has a slot.
    pub(crate) fn started(&self) -> Event {
        Event::Started {
            prompt_tokens: count(self.prompt),
            cached_tokens: count(self.reused.min(self.prompt)),
        }
    }

    /// What the daemon is told at the end.
    pub(crate) fn done(self, reason: StopReason) -> Done {
        let (queue, prefill, decode) = self.clock.durations();
        let (drafted, accepted) = self.drafting.counts();
        Done {
            reason,
            prompt_tokens: count(self.prompt),
            // After an eviction, tokens of the answer may have been found in a cache as well.
            cached_tokens: count(self.reused.min(self.prompt)),
            truncated: count(self.truncated),
            tokens: count(self.generated()),
            prefill_ns: nanoseconds(prefill),
            decode_ns: nanoseconds(decode),
            queue_ns: nanoseconds(queue),
            drafted: count(drafted),
            accepted: count(accepted),
            stop_text: self.answer.ended_by().map(str::to_owned),
            seed: self.chooser.seed(),
            all_tokens: match self.placed_images.is_empty() {
                true => self.tokens.into_iter().map(|token| token.0).collect(),
                // Cells of images are no tokens.
                false => Vec::new(),
            },
        }
    }
}

impl Tenant for Sequence {
    fn tokens(&self) -> &[LlamaToken] {
        &self.tokens
    }

    fn growth(&self) -> usize {
        self.max_tokens
            .saturating_sub(self.generated())
            .min(LOOK_AHEAD)
    }

    fn scales(&self) -> &AdapterScales {
        &self.scales
    }

    fn alone(&self) -> bool {
        self.alone
    }

    fn reused(&mut self, tokens: usize) {
        self.reused += tokens;
    }

    fn evicted(&mut self) {
        self.reused = 0;
    }
}

/// The end of a request that was cancelled before it was admitted.
pub(crate) fn unanswered(seed: Option<u64>, clock: Clock) -> Done {
    Done {
        reason: StopReason::Cancelled,
        prompt_tokens: 0,
        cached_tokens: 0,
        truncated: 0,
        tokens: 0,
        prefill_ns: 0,
        decode_ns: 0,
        queue_ns: nanoseconds(clock.age()),
        drafted: 0,
        accepted: 0,
        stop_text: None,
        seed: seed.unwrap_or(0),
        all_tokens: Vec::new(),
    }
}
