//! One streamed answer at a client, and its rates.

use std::time::{Duration, Instant};

/// When each piece of text arrived, and what the server counted.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// When the request was sent.
    pub(super) asked: Instant,
    /// When each piece of text arrived, at least one.
    pub(super) pieces: Vec<Instant>,
    /// When the stream ended.
    pub(super) ended: Instant,
    /// What the server counted.
    pub(super) counts: Counts,
    /// All of the text.
    pub(super) text: String,
}

/// What the last event of a stream counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Tokens of the prompt.
    pub(super) prompt: u32,
    /// Tokens of the answer.
    pub(super) answer: u32,
    /// Tokens of the prompt that came from the cache.
    pub(super) cached: u32,
}

impl Answer {
    /// From the request to the first piece of text.
    pub(super) fn first(&self) -> Duration {
        self.pieces[0] - self.asked
    }

    /// Tokens per second after the first one.
    pub(super) fn tokens_per_second(&self) -> f64 {
        let rest = self.ended - self.pieces[0];
        f64::from(self.counts.answer.saturating_sub(1)) / rest.as_secs_f64()
    }

    /// Prompt tokens per second, with everything that a client waits for before the first token.
    pub(super) fn prompt_tokens_per_second(&self) -> f64 {
        f64::from(self.counts.prompt) / self.first().as_secs_f64()
    }

    /// Time between one piece of text and the next.
    pub(super) fn gaps(&self) -> impl Iterator<Item = Duration> {
        self.pieces.windows(2).map(|pair| pair[1] - pair[0])
    }
}

/// The longest silence of a stream between two moments, including a silence that started before and one that has not ended.
pub(super) fn longest_silence(pieces: &[Instant], from: Instant, to: Instant) -> Duration {
    let mut longest = Duration::ZERO;
    let mut last = None;
    for &piece in pieces.iter().filter(|piece| **piece <= to).chain([&to]) {
        if piece >= from {
            longest = longest.max(piece - last.unwrap_or(from));
        }
        last = Some(piece);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, milliseconds: &[u64]) -> Vec<Instant> {
        let moment = |&after| start + Duration::from_millis(after);
        milliseconds.iter().map(moment).collect()
    }

    #[test]
    fn rates_count_the_time_between_tokens() {
        let asked = Instant::now();
        let answer = Answer {
            asked,
            pieces: at(asked, &[500, 600, 900]),
            ended: asked + Duration::from_millis(1500),
            counts: Counts {
                prompt: 100,
                answer: 11,
                cached: 0,
            },
            text: String::new(),
        };
        assert!((answer.tokens_per_second() - 10.0).abs() < 1e-9);
        assert!((answer.prompt_tokens_per_second() - 200.0).abs() < 1e-9);
        let gaps: Vec<_> = answer.gaps().collect();
        assert_eq!(gaps, [100, 300].map(Duration::from_millis));
    }

    #[test]
    fn a_silence_counts_from_its_start_to_the_end_of_the_window() {
        let start = Instant::now();
        let silence = |pieces: &[u64], from, to| {
            let edges = at(start, &[from, to]);
            longest_silence(&at(start, pieces), edges[0], edges[1]).as_millis()
        };
        // Silence before the window counts only if it reaches into it.
        assert_eq!(silence(&[0, 500, 520, 540], 510, 545), 20);
        assert_eq!(silence(&[0, 500, 520], 100, 525), 500);
        // The last silence has not ended.
        assert_eq!(silence(&[0, 10, 20], 15, 90), 70);
        assert_eq!(silence(&[0, 10, 200], 15, 90), 80);
        assert_eq!(silence(&[], 10, 90), 80);
    }
}
