//! How many prompt tokens go into one step.
//!
//! The length of a step bounds how long the other sequences wait for their next token.
//! Prompts are therefore computed in chunks, and the size of a chunk follows the speed that was measured.
//! Small chunks cost speed, because each reads all weights, and of many tokens also dequantizes them.
//! So chunks are only small while somebody waits for them, and then only those of long prompts: for a short one,
//! all wait a little longer a few times, rather than a little for a long time.

use std::time::Duration;

/// Sizes are multiples of this, because the kernels take that many inputs together (`GEMM_MIN_COLUMNS` in `kernels/shim/kernels/module.h`).
pub(crate) const BLOCK: usize = 32;

/// Fewest tokens of a step, however slow.
const FEWEST: usize = 16;

/// Fewest tokens of a step that takes no longer than the longest beside writers: with fewer, reading all weights anew costs too much.
/// And where attention is llama.cpp's own (see `kernels/shim/kernels.h`), it comes in tiles from so many tokens on (`GGML_FA_TILE_Q`).
const TILE: usize = 64;

/// First guess, before anything was measured.
const FIRST_CHUNK: usize = 64;

/// Share of a new measurement in the estimate.
const WEIGHT: f64 = 0.5;

/// About how long the prompts in a step may take when nobody writes, and a cancel stops it.
/// Only those who come meanwhile wait, and the signs of life are far apart.
const ALONE: Duration = Duration::from_secs(3);

/// The same beside those who write: each of their tokens waits for the step.
const BESIDE_WRITERS: Duration = Duration::from_millis(80);

/// The same, however many more read than write, or when all prompts together are short. A cancel does not stop such a step.
const LONGEST_BESIDE_WRITERS: Duration = Duration::from_millis(500);

/// Prompts are short that take no longer than this, all together: a few of the longest steps.
const SHORT: Duration = Duration::from_secs(2);

/// Who takes part in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepLoad {
    /// Sequences whose prompt is not read to its end.
    pub(crate) readers: usize,
    /// Tokens that they have to read, all together.
    pub(crate) unread: usize,
    /// Sequences that write, each one token.
    pub(crate) writers: usize,
}

/// The size of the next chunk.
#[derive(Debug)]
pub(crate) struct Pace {
    max: usize,
    /// Tokens per second in steps that read prompts, once known.
    rate: Option<f64>,
    /// Seconds that a step took in which all wrote.
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
        let (time, most) = match step_load.writers {
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

    /// Seconds for prompts in a step with writers in it.
    ///
    /// Where writing itself takes longer than we would have them wait, prompts get as long, or they would hardly be read at all.
    /// And the more read for each that writes, the more gain from a longer step, and the fewer lose.
    fn beside(&self, step_load: StepLoad, rate: f64) -> f64 {
        let least = BESIDE_WRITERS.as_secs_f64().max(self.writing);
        let most = LONGEST_BESIDE_WRITERS.as_secs_f64().max(self.writing);
        if step_load.unread as f64 / rate <= SHORT.as_secs_f64() {
            return most;
        }
        (least * (step_load.readers as f64 / step_load.writers as f64)).clamp(least, most)
    }

    /// Learns from a step with so many prompt tokens.
    pub(crate) fn learn(&mut self, tokens: usize, step_load: StepLoad, took: Duration) {
        let took = took.as_secs_f64();
        if tokens == 0 && step_load.writers > 0 {
            self.writing = average(self.writing, took);
            return;
        }
        // Short rests of prompts say more about the fixed cost of a step than about the rate.
        if tokens < FEWEST.min(self.max) || took == 0.0 {
            return;
        }
        // Those that write take their part of the time.
        let measured = (tokens + step_load.writers) as f64 / took;
        self.rate = Some(self.rate.map_or(measured, |rate| average(rate, measured)));
    }
}

fn average(before: f64, measured: f64) -> f64 {
    before * (1.0 - WEIGHT) + measured * WEIGHT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that reads for hours, and as many that write.
    const fn one_beside(writers: usize) -> StepLoad {
        StepLoad {
            readers: 1,
            unread: 1_000_000,
            writers,
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
        // That the weights are read for more tokens at once is worth a longer step.
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
        let step_load = |readers, writers| StepLoad {
            readers,
            ..one_beside(writers)
        };
        assert_eq!(pace.chunk(step_load(4, 4)), TILE);
        assert_eq!(pace.chunk(step_load(8, 2)), 96);
        assert_eq!(pace.chunk(step_load(100, 1)), 160);
    }

    #[test]
    fn a_short_prompt_is_read_in_a_few_long_steps() {
        let pace = taught(320, Duration::from_secs(1));
        let unread = |unread| StepLoad {
            unread,
            ..one_beside(8)
        };
        assert_eq!(pace.chunk(unread(640)), 160);
        assert_eq!(pace.chunk(unread(641)), TILE);
        // Until something was measured, nobody knows what is short.
        assert_eq!(Pace::new(512).chunk(unread(1)), FIRST_CHUNK);
    }
}
