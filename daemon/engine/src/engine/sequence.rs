//! One request that is being answered.

use llama_cpp_2::token::LlamaToken;
use runner_protocol::{Done, StopReason};

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

/// How far ahead cells are set aside, in tokens: enough that a newcomer does not push others out at once.
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
    /// How many of the tokens were in the cache already.
    pub(crate) reused: usize,
    /// The images among the tokens.
    pub(crate) placed_images: PlacedImages,
    /// Which adapters it wants.
    pub(crate) scales: AdapterScales,
    /// Most tokens of the answer.
    pub(crate) max_tokens: usize,
    /// Tokens of prompt and answer together.
    pub(crate) cells: usize,
    /// Whether it is computed when nothing else is, from an empty cache and in steps that are always cut alike.
    pub(crate) alone: bool,
    /// Tokens cut from the prompt.
    pub(crate) truncated: usize,
    /// Chooses the next token.
    pub(crate) chooser: Chooser,
    /// Guesses at what comes next.
    pub(crate) drafting: Drafting,
    /// What it says.
    pub(crate) answer: Answer,
    /// How likely the tokens were of what has not left yet.
    pub(crate) report: Report,
    /// When it came, was let in, and had its prompt computed.
    pub(crate) clock: Clock,
}

impl Sequence {
    /// Tokens of the answer.
    pub(crate) fn generated(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// What the daemon is told at the end.
    pub(crate) fn done(self, reason: StopReason) -> Done {
        let (queue, prefill, decode) = self.clock.durations();
        let (drafted, accepted) = self.drafting.counts();
        Done {
            reason,
            prompt_tokens: count(self.prompt),
            // One that was sent back to the queue may have found some of its answer again, too.
            cached_tokens: count(self.reused.min(self.prompt)),
            truncated: count(self.truncated),
            tokens: count(self.generated()),
            prefill_ns: nanoseconds(prefill),
            decode_ns: nanoseconds(decode),
            queue_ns: nanoseconds(queue),
            drafted: count(drafted),
            accepted: count(accepted),
            seed: self.chooser.seed(),
            all_tokens: match self.placed_images.is_empty() {
                true => self.tokens.into_iter().map(|token| token.0).collect(),
                // What stands for images are no tokens.
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

/// The end of a request that was cancelled before it was let in.
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
        seed: seed.unwrap_or(0),
        all_tokens: Vec::new(),
    }
}
