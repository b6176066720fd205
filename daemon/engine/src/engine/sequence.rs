//! One request that is being answered.

use std::time::{Duration, Instant};

use llama_cpp_2::token::LlamaToken;
use runner_protocol::{Done, StopReason};

use crate::{
    answer::{Answer, report::Report},
    cache::{kept::Flavour, slots::Tenant},
    images::Album,
    sampler::Chooser,
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
    pub(crate) spared: usize,
    /// The images among the tokens.
    pub(crate) album: Album,
    /// Which adapters it wants.
    pub(crate) flavour: Flavour,
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

/// When what happened to a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    arrived: Instant,
    admitted: Option<Instant>,
    prefilled: Option<Instant>,
}

impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self {
            arrived: Instant::now(),
            admitted: None,
            prefilled: None,
        }
    }

    /// The first time counts: who was sent back to the queue is slow, but was let in.
    pub(crate) fn admitted(&mut self) {
        self.admitted.get_or_insert_with(Instant::now);
    }

    /// The first time counts.
    pub(crate) fn prefilled(&mut self) {
        self.prefilled.get_or_insert_with(Instant::now);
    }

    /// How long ago it came.
    pub(crate) fn age(self) -> Duration {
        self.arrived.elapsed()
    }

    /// Waiting, prompt and answer, until now.
    fn durations(self) -> (Duration, Duration, Duration) {
        let now = Instant::now();
        let admitted = self.admitted.unwrap_or(now);
        let prefilled = self.prefilled.unwrap_or(now);
        (
            admitted - self.arrived,
            prefilled.saturating_duration_since(admitted),
            now - prefilled,
        )
    }
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
            cached_tokens: count(self.spared.min(self.prompt)),
            truncated: count(self.truncated),
            tokens: count(self.generated()),
            prefill_ns: nanoseconds(prefill),
            decode_ns: nanoseconds(decode),
            queue_ns: nanoseconds(queue),
            drafted: count(drafted),
            accepted: count(accepted),
            seed: self.chooser.seed(),
            all_tokens: match self.album.is_empty() {
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

    fn flavour(&self) -> &Flavour {
        &self.flavour
    }

    fn alone(&self) -> bool {
        self.alone
    }

    fn spared(&mut self, tokens: usize) {
        self.spared += tokens;
    }

    fn evicted(&mut self) {
        self.spared = 0;
    }
}

/// Tokens for the wire; a context has at most 2^20 of them.
pub(crate) fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// Time for the wire.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
