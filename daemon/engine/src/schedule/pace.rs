//! How many prompt tokens go into one step.
//!
//! The length of a step bounds how long other sequences wait for their next token.
//! Prompts are therefore computed in chunks, whose size follows the measured speed.
//! Small chunks cost speed, because each reads all weights, and from 32 tokens on also dequantizes them.
//! So chunks are only small while other sequences decode, and only those of long prompts: for a short prompt,
//! a few steps that are a little longer are better than many.

use std::time::Duration;

/// Sizes are multiples of this: the batch size of the prefill kernels (`GEMM_MIN_COLUMNS` in `kernels/shim/kernels/module.h`).
pub(crate) const BLOCK: usize = 32;

/// Fewest tokens of a step, however slow.
const FEWEST: usize = 16;

/// Fewest tokens of a step that stays within its time beside sequences in decode: with fewer, reading all weights again costs too much.
/// llama.cpp's own attention has tiles from this many tokens on (`GGML_FA_TILE_Q`).
const TILE: usize = 64;

/// The first estimate, before anything is measured.
const FIRST_CHUNK: usize = 64;

/// Weight of a new measurement in the estimate.
const WEIGHT: f64 = 0.5;

/// About how long prefill may take in a step without decode. A cancel stops such a step; only requests that arrive meanwhile wait for it.
const ALONE: Duration = Duration::from_secs(3);

/// The same beside sequences in decode, whose next token waits for the step.
const BESIDE_WRITERS: Duration = Duration::from_millis(80);

/// The same when more sequences are in prefill than in decode, or all prompts together are short. A cancel does not stop such a step.
const LONGEST_BESIDE_WRITERS: Duration = Duration::from_millis(500);

/// Prompts count as short if together they take no longer than this.
const SHORT: Duration = Duration::from_secs(2);

/// What the sequences of a step do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepLoad {
    /// Sequences in prefill.
    pub(crate) prefilling: usize,
    /// Their outstanding tokens, all together.
    pub(crate) prefill_tokens: usize,
    /// Sequences in decode, with one token each.
    pub(crate) decoding: usize,
}

/// Decides the size of the next chunk.
#[derive(Debug)]
pub(crate) struct Pace {
    max: usize,
    /// Tokens per second in prefill, once measured.
    rate: Option<f64>,
    /// Seconds of a step in which all sequences decode.
    writing: f64,
}

impl Pace {
    /// No chunk is larger than `max` tokens.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            rate: None,
            writing: 0.0,
        }
    }

    /// Prompt tokens for the next step.
    pub(crate) fn chunk(&self, step_load: StepLoad) -> usize {
        let Some(rate) = self.rate else {
            return FIRST_CHUNK.min(self.max);
        };
        let (time, most) = match step_load.decoding {
            0 => (ALONE.as_secs_f64(), f64::INFINITY),
            _ => (
                self.beside(step_load, rate),
                LONGEST_BESIDE_WRITERS.as_secs_f64(),
            ),
        };
        let least = if TILE as f64 <= rate * most {
            TILE
        } else {
            FEWEST
        };
        let tokens = (rate * time) as usize;
        (tokens / BLOCK * BLOCK).max(least).min(self.max)
    }

    /// Seconds for prefill in a step with decode in it.
    ///
    /// Where decode alone takes longer than the target, prefill gets as much time, or prompts would hardly be computed at all.
    /// The more sequences are in prefill for each one in decode, the more gain from a longer step.
    fn beside(&self, step_load: StepLoad, rate: f64) -> f64 {
        let least = BESIDE_WRITERS.as_secs_f64().max(self.writing);
        let most = LONGEST_BESIDE_WRITERS.as_secs_f64().max(self.writing);
        if step_load.prefill_tokens as f64 / rate <= SHORT.as_secs_f64() {
            return most;
        }
        (least * (step_load.prefilling as f64 / step_load.decoding as f64)).clamp(least, most)
    }

    /// Learns from a step with this many prompt tokens.
    pub(crate) fn learn(&mut self, tokens: usize, step_load: StepLoad, took: Duration) {
        let took = took.as_secs_f64();
        if tokens == 0 && step_load.decoding > 0 {
            self.writing = average(self.writing, took);
            return;
        }
        // Short rests of prompts measure the fixed cost of a step rather than the rate.
        if tokens < FEWEST.min(self.max) || took == 0.0 {
            return;
        }
        // Decode takes its part of the time.
        let measured = (tokens + step_load.decoding) as f64 / took;
        self.rate = Some(self.rate.map_or(measured, |rate| average(rate, measured)));
    }
}

fn average(before: f64, measured: f64) -> f64 {
    before * (1.0 - WEIGHT) + measured * WEIGHT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sequence in a long prefill, and as many in decode as given.
    const fn one_beside(decoding: usize) -> StepLoad {
        StepLoad {
            prefilling: 1,
            prefill_tokens: 1_000_000,
            decoding,
        }
    }

    fn taught(tokens: usize, took: Duration) -> Pace {
        let mut pace = Pace::new(512);
        pace.learn(tokens, one_beside(0), took);
        pace
    }

    #[test]
    fn the_chunk_follows_the_speed() {
        let mut pace = Pace::new(512);
        assert_eq!(pace.chunk(one_beside(1)), FIRST_CHUNK);
        pace.learn(64, one_beside(0), Duration::from_millis(80));
        assert_eq!(pace.chunk(one_beside(1)), 64);
        for _ in 0..20 {
            pace.learn(64, one_beside(0), Duration::from_millis(20));
        }
        assert_eq!(pace.chunk(one_beside(1)), 224);
        for _ in 0..20 {
            pace.learn(64, one_beside(0), Duration::from_millis(800));
        }
        assert_eq!(pace.chunk(one_beside(1)), FEWEST);
    }

    #[test]
    fn the_chunk_has_bounds() {
        assert_eq!(
            taught(64, Duration::from_secs(60)).chunk(one_beside(1)),
            FEWEST
        );
        assert_eq!(taught(64, Duration::from_secs(60)).chunk(one_beside(0)), 64);
        assert_eq!(
            taught(64, Duration::from_nanos(1)).chunk(one_beside(1)),
            512
        );
        assert_eq!(Pace::new(4).chunk(one_beside(0)), 4);
    }

    #[test]
    fn the_short_rest_of_a_prompt_teaches_nothing() {
        let mut pace = taught(1, Duration::from_secs(1));
        pace.learn(64, one_beside(0), Duration::ZERO);
        assert_eq!(pace.chunk(one_beside(1)), FIRST_CHUNK);
    }

    #[test]
    fn nobody_waits_long_for_another_prompt() {
        let pace = taught(100, Duration::from_secs(1));
        assert_eq!(pace.chunk(one_beside(1)), FEWEST);
        assert_eq!(pace.chunk(one_beside(0)), 288);
        // Reading the weights for more tokens at once is worth a longer step.
        let pace = taught(128, Duration::from_secs(1));
        assert_eq!(pace.chunk(one_beside(1)), TILE);
    }

    #[test]
    fn prompts_get_as_long_as_writing_takes() {
        let mut pace = taught(100, Duration::from_secs(1));
        assert_eq!(pace.chunk(one_beside(8)), FEWEST);
        for _ in 0..20 {
            pace.learn(0, one_beside(8), Duration::from_millis(400));
        }
        assert_eq!(pace.chunk(one_beside(8)), 32);
    }

    #[test]
    fn many_that_read_wait_less_for_few_that_write() {
        let pace = taught(320, Duration::from_secs(1));
        let step_load = |prefilling, decoding| StepLoad {
            prefilling,
            ..one_beside(decoding)
        };
        assert_eq!(pace.chunk(step_load(4, 4)), TILE);
        assert_eq!(pace.chunk(step_load(8, 2)), 96);
        assert_eq!(pace.chunk(step_load(100, 1)), 160);
    }

    #[test]
    fn a_short_prompt_is_read_in_a_few_long_steps() {
        let pace = taught(320, Duration::from_secs(1));
        let prefill_tokens = |prefill_tokens| StepLoad {
            prefill_tokens,
            ..one_beside(8)
        };
        assert_eq!(pace.chunk(prefill_tokens(640)), 160);
        assert_eq!(pace.chunk(prefill_tokens(641)), TILE);
        // Before a measurement, no prompt counts as short.
        assert_eq!(Pace::new(512).chunk(prefill_tokens(1)), FIRST_CHUNK);
    }
}
