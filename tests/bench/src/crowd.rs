//! Several streams at once on one server.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::answer::Answer;
use super::statistics::Samples;
use super::stream::{Endpoint, Question};

/// The answers to concurrent requests.
#[derive(Debug)]
pub(super) struct Crowd(Vec<Answer>);

impl Crowd {
    /// Sends all requests at once, each on a separate connection, and reads every stream to its end.
    ///
    /// # Errors
    /// One of them failed.
    pub(super) fn ask(endpoint: &Endpoint, questions: &[Question]) -> Result<Self> {
        let start = Barrier::new(questions.len());
        let answers: Result<Vec<Answer>> = thread::scope(|scope| {
            let asking: Vec<_> = questions
                .iter()
                .map(|question| {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        endpoint.ask(question)
                    })
                })
                .collect();
            asking
                .into_iter()
                .map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?)
                .collect()
        });
        answers.map(Self)
    }

    /// Tokens of all answers.
    pub(super) fn tokens(&self) -> u32 {
        self.0.iter().map(|answer| answer.counts.answer).sum()
    }

    /// Tokens of all answers by the time from the first request to the end of the last answer.
    pub(super) fn tokens_per_second(&self) -> f64 {
        let asked = self.0.iter().map(|answer| answer.asked).min();
        let ended = self.0.iter().map(|answer| answer.ended).max();
        let took = match (asked, ended) {
            (Some(asked), Some(ended)) => ended - asked,
            _ => Duration::ZERO,
        };
        f64::from(self.tokens()) / took.as_secs_f64()
    }

    /// Milliseconds between one piece of text and the next, of all streams together.
    pub(super) fn gaps(&self) -> Samples {
        let gaps = self.0.iter().flat_map(Answer::gaps);
        gaps.map(|gap| gap.as_secs_f64() * 1000.0).collect()
    }

    /// Seconds from each request to its first piece of text.
    pub(super) fn firsts(&self) -> Samples {
        let firsts = self.0.iter().map(Answer::first);
        firsts.map(|first| first.as_secs_f64()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::answer::Counts;

    #[test]
    fn the_rate_covers_all_answers_from_the_first_request_to_the_last_token() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let answer = |asked, first, ended| Answer {
            asked: at(asked),
            pieces: vec![at(first), at(first + 10), at(first + 40)],
            ended: at(ended),
            counts: Counts {
                prompt: 5,
                answer: 30,
                cached: 0,
            },
            text: String::new(),
        };
        let crowd = Crowd(vec![answer(0, 100, 900), answer(10, 300, 2000)]);
        assert_eq!(crowd.tokens(), 60);
        assert!((crowd.tokens_per_second() - 30.0).abs() < 1e-9);
        assert!((crowd.firsts().median() - 0.195).abs() < 1e-9);
        assert!((crowd.gaps().largest() - 30.0).abs() < 1e-9);
        assert!((crowd.gaps().smallest() - 10.0).abs() < 1e-9);
    }
}
