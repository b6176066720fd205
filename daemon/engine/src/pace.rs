//! How many prompt tokens go into one step.
//!
//! A step cannot be interrupted, so its length bounds how fast a cancel takes effect and how long the other sequences wait for their next token.
//! Prompts are therefore computed in chunks, and the size of a chunk follows the speed that was measured.

use std::time::Duration;

/// Fewest prompt tokens in a step that has any.
pub(crate) const MIN_CHUNK: usize = 16;

/// First guess, before anything was measured.
const FIRST_CHUNK: usize = 64;

/// Share of a new measurement in the estimate.
const WEIGHT: f64 = 0.5;

/// The size of the next chunk.
#[derive(Debug)]
pub(crate) struct Pace {
    target: Duration,
    max: usize,
    /// Prompt tokens per second, once known.
    rate: Option<f64>,
}

impl Pace {
    /// Steps shall take about `target`; no chunk is larger than `max` tokens.
    pub(crate) fn new(target: Duration, max: usize) -> Self {
        Self {
            target,
            max,
            rate: None,
        }
    }

    /// Prompt tokens for the next step.
    pub(crate) fn chunk(&self) -> usize {
        let tokens = self
            .rate
            .map_or(FIRST_CHUNK as f64, |rate| rate * self.target.as_secs_f64());
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
        let mut pace = Pace::new(TARGET, 512);
        assert_eq!(pace.chunk(), FIRST_CHUNK);
        pace.learn(64, Duration::from_millis(100));
        assert_eq!(pace.chunk(), 64);
        for _ in 0..20 {
            pace.learn(64, Duration::from_millis(20));
        }
        assert_eq!(pace.chunk(), 304);
        for _ in 0..20 {
            pace.learn(64, Duration::from_millis(400));
        }
        assert_eq!(pace.chunk(), MIN_CHUNK);
    }

    #[test]
    fn the_chunk_has_bounds() {
        let mut pace = Pace::new(TARGET, 512);
        pace.learn(64, Duration::from_secs(60));
        assert_eq!(pace.chunk(), MIN_CHUNK);
        pace.learn(64, Duration::from_nanos(1));
        pace.learn(64, Duration::from_nanos(1));
        assert_eq!(pace.chunk(), 512);
        assert_eq!(Pace::new(TARGET, 4).chunk(), 4);
    }

    #[test]
    fn the_short_rest_of_a_prompt_teaches_nothing() {
        let mut pace = Pace::new(TARGET, 512);
        pace.learn(1, Duration::from_secs(1));
        pace.learn(64, Duration::ZERO);
        assert_eq!(pace.chunk(), FIRST_CHUNK);
    }
}
