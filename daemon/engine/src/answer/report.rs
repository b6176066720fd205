//! Logprobs of tokens, sent together with their text.
//!
//! Text may wait: for the rest of a character, or because a stop text may have begun. The logprobs of its tokens wait with it, and
//! those of a stop text are never sent.

use std::collections::VecDeque;

use runner_protocol::Logprob;

/// Logprobs that wait for their text.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Each with the number of bytes that leave before its own text.
    waiting: VecDeque<(usize, Logprob)>,
}

impl Report {
    /// Takes what is said of a token; `held` bytes of text wait before its own.
    pub(crate) fn note(&mut self, held: usize, logprob: Logprob) {
        self.waiting.push_back((held, logprob));
    }

    /// What is said of the tokens whose text begins in these bytes, which leave now.
    pub(crate) fn release(&mut self, bytes: usize) -> Vec<Logprob> {
        let mut released = Vec::new();
        while let Some((_, logprob)) = self.waiting.pop_front_if(|(before, _)| *before < bytes) {
            released.push(logprob);
        }
        for (before, _) in &mut self.waiting {
            *before -= bytes;
        }
        released
    }

    /// All that is left, at the end of an answer.
    pub(crate) fn rest(&mut self) -> Vec<Logprob> {
        self.waiting.drain(..).map(|(_, logprob)| logprob).collect()
    }
}

#[cfg(test)]
mod tests {
    use runner_protocol::Likelihood;

    use super::*;
    use crate::answer::text::{Stops, Text};

    /// Tokens told with each piece of text, and those told at the end.
    fn told(stop: &str, tokens: &[&[u8]]) -> (Vec<Vec<i32>>, Vec<i32>) {
        let stops = Stops::new(vec![stop.into()]).unwrap();
        let mut text = Text::new(stops);
        let mut report = Report::default();
        let numbers = |logprobs: Vec<Logprob>| logprobs.iter().map(|it| it.chosen.token).collect();
        let mut pieces = Vec::new();
        for (token, bytes) in (0..).zip(tokens) {
            let held = text.held();
            let piece = text.push(bytes);
            let chosen = Likelihood {
                token,
                bytes: bytes.to_vec(),
                logprob: 0.0,
            };
            report.note(
                held,
                Logprob {
                    chosen,
                    top: Vec::new(),
                },
            );
            pieces.push(numbers(report.release(piece.text.len())));
            if piece.stopped {
                return (pieces, Vec::new());
            }
        }
        text.finish();
        (pieces, numbers(report.rest()))
    }

    #[test]
    fn tokens_are_told_with_their_text() {
        assert_eq!(told("#", &[b"a", b"bc"]), (vec![vec![0], vec![1]], vec![]));
    }

    #[test]
    fn parts_of_a_character_are_told_with_the_whole() {
        assert_eq!(
            told("#", &[b"\xf0\x9f", b"\xa6", b"\x80"]),
            (vec![vec![], vec![], vec![0, 1, 2]], vec![])
        );
    }

    #[test]
    fn what_is_held_back_is_told_when_it_leaves() {
        assert_eq!(
            told("<s>", &[b"a<", b"s", b"x"]),
            (vec![vec![0], vec![], vec![1, 2]], vec![])
        );
        assert_eq!(
            told("<s>", &[b"<", b"s"]),
            (vec![vec![], vec![]], vec![0, 1])
        );
    }

    #[test]
    fn a_stop_text_is_not_told() {
        assert_eq!(
            told("<s>", &[b"a", b"<", b"s>"]),
            (vec![vec![0], vec![], vec![]], vec![])
        );
        assert_eq!(
            told("<s>", &[b"a<", b"s>b"]),
            (vec![vec![0], vec![]], vec![])
        );
    }

    #[test]
    fn tokens_without_text_are_told_with_the_next_or_at_the_end() {
        assert_eq!(
            told("#", &[b"a", b"", b"b", b""]),
            (vec![vec![0], vec![], vec![1, 2], vec![]], vec![3])
        );
    }
}
