//! How many prompt tokens go into one step.
//!
//! A step cannot be interrupted, so its length bounds how fast a cancel takes effect and how long the other sequences wait for their next token.
//! Prompts are therefore computed in chunks, and the size of a chunk follows the speed that was measured.
//! Small chunks cost speed, because each reads all weights, so they are only as small as they must be.

use std::time::Duration;

/// Fewest prompt tokens in a step that has any.
pub(crate) const MIN_CHUNK: usize = 16;

/// How long a step may take while others write.
pub(crate) const BESIDE_WRITERS: Duration = Duration::from_millis(80);

/// How long a step may take while nobody writes; then only a cancel waits for it.
pub(crate) const ALONE: Duration = Duration::from_millis(300);

/// First guess, before anything was measured.
const FIRST_CHUNK: usize = 64;

/// Share of a new measurement in the estimate.
const WEIGHT: f64 = 0.5;

/// The size of the next chunk.
#[derive(Debug)]
pub(crate) struct Pace {
    max: usize,
    /// Prompt tokens per second, once known.
    rate: Option<f64>,
}

impl Pace {
    /// No chunk is larger than `max` tokens.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, rate: None }
    }

    /// Prompt tokens for a step that shall take about so long.
    pub(crate) fn chunk(&self, target: Duration) -> usize {
        let tokens = self
            .rate
            .map_or(FIRST_CHUNK as f64, |rate| rate * target.as_secs_f64());
        // Multiples of the smallest chunk, because the matrix kernels work in blocks.
        let blocks = (tokens / MIN_CHUNK as f64) as usize;
        (blocks.max(1) * MIN_CHUNK).min(self.max)
    }

    /// Learns from a step with so many prompt tokens.
    pub(crate) fn learn(&mut self, tokens: usize, took: Duration) {
        // Short rests of prompts say more about the fixed cost of a step than about the rate.
        if tokens < MIN_CHUNK.min(self.max) || took.is_zero() {
            return;
        }
        let measured = tokens as f64 / took.as_secs_f64();
        let rate = match self.rate {
            Some(rate) => rate * (1.0 - WEIGHT) + measured * WEIGHT,
            None => measured,
        };
        self.rate = Some(rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(100);

    #[test]
    fn the_chunk_follows_the_speed() {
        let mut pace = Pace::new(512);
        assert_eq!(pace.chunk(TARGET), FIRST_CHUNK);
        pace.learn(64, Duration::from_millis(100));
        assert_eq!(pace.chunk(TARGET), 64);
        for _ in 0..20 {
            pace.learn(64, Duration::from_millis(20));
        }
        assert_eq!(pace.chunk(TARGET), 304);
        for _ in 0..20 {
            pace.learn(64, Duration::from_millis(400));
        }
        assert_eq!(pace.chunk(TARGET), MIN_CHUNK);
    }

    #[test]
    fn the_chunk_has_bounds() {
        let mut pace = Pace::new(512);
        pace.learn(64, Duration::from_secs(60));
        assert_eq!(pace.chunk(TARGET), MIN_CHUNK);
        pace.learn(64, Duration::from_nanos(1));
        pace.learn(64, Duration::from_nanos(1));
        assert_eq!(pace.chunk(TARGET), 512);
        assert_eq!(Pace::new(4).chunk(TARGET), 4);
    }

    #[test]
    fn the_short_rest_of_a_prompt_teaches_nothing() {
        let mut pace = Pace::new(512);
        pace.learn(1, Duration::from_secs(1));
        pace.learn(64, Duration::ZERO);
        assert_eq!(pace.chunk(TARGET), FIRST_CHUNK);
    }
}
