//! How many prompt tokens go into one step.
//!
//! The length of a step bounds how long the other sequences wait for their next token.
//! Prompts are therefore computed in chunks, and the size of a chunk follows the speed that was measured.
//! Small chunks cost speed, because each reads all weights: 16 tokens at a time take a fifth to a quarter more work than 128, and 64 a tenth.
//! So chunks are only small while somebody waits for them.

use std::time::Duration;

/// Sizes are multiples of this, because the matrix kernels work in blocks.
const BLOCK: usize = 16;

/// First guess, before anything was measured.
const FIRST_CHUNK: usize = 64;

/// Share of a new measurement in the estimate.
const WEIGHT: f64 = 0.5;

/// What a step is to be like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tempo {
    /// About how long it may take.
    target: Duration,
    /// Fewest prompt tokens in it, however slow they are.
    min: usize,
}

/// Others write, and each of their tokens waits for the step.
pub(crate) const BESIDE_WRITERS: Tempo = Tempo {
    target: Duration::from_millis(80),
    min: BLOCK,
};

/// Nobody writes, and a cancel stops the step. Only those who come meanwhile wait, and the signs of life are far apart.
pub(crate) const ALONE: Tempo = Tempo {
    target: Duration::from_secs(3),
    min: 4 * BLOCK,
};

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

    /// Prompt tokens for the next step.
    pub(crate) fn chunk(&self, tempo: Tempo) -> usize {
        let tokens = match self.rate {
            Some(rate) => (rate * tempo.target.as_secs_f64()) as usize,
            None => FIRST_CHUNK,
        };
        (tokens / BLOCK * BLOCK).max(tempo.min).min(self.max)
    }

    /// Learns from a step with so many prompt tokens.
    pub(crate) fn learn(&mut self, tokens: usize, took: Duration) {
        // Short rests of prompts say more about the fixed cost of a step than about the rate.
        if tokens < BLOCK.min(self.max) || took.is_zero() {
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

    const TEMPO: Tempo = Tempo {
        target: Duration::from_millis(100),
        min: 32,
    };

    #[test]
    fn the_chunk_follows_the_speed() {
        let mut pace = Pace::new(512);
        assert_eq!(pace.chunk(TEMPO), FIRST_CHUNK);
        pace.learn(64, Duration::from_millis(80));
        assert_eq!(pace.chunk(TEMPO), 80);
        for _ in 0..20 {
            pace.learn(64, Duration::from_millis(20));
        }
        assert_eq!(pace.chunk(TEMPO), 304);
        for _ in 0..20 {
            pace.learn(64, Duration::from_millis(400));
        }
        assert_eq!(pace.chunk(TEMPO), TEMPO.min);
    }

    #[test]
    fn the_chunk_has_bounds() {
        let mut pace = Pace::new(512);
        pace.learn(64, Duration::from_secs(60));
        assert_eq!(pace.chunk(TEMPO), TEMPO.min);
        pace.learn(64, Duration::from_nanos(1));
        assert_eq!(pace.chunk(TEMPO), 512);
        assert_eq!(Pace::new(4).chunk(TEMPO), 4);
    }

    #[test]
    fn the_short_rest_of_a_prompt_teaches_nothing() {
        let mut pace = Pace::new(512);
        pace.learn(1, Duration::from_secs(1));
        pace.learn(64, Duration::ZERO);
        assert_eq!(pace.chunk(TEMPO), FIRST_CHUNK);
    }

    #[test]
    fn nobody_waits_long_for_another_prompt() {
        let mut pace = Pace::new(512);
        pace.learn(128, Duration::from_secs(1));
        assert_eq!(pace.chunk(BESIDE_WRITERS), 16);
        assert_eq!(pace.chunk(ALONE), 384);
    }
}
