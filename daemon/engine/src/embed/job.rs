//! One request: its texts as tokens, and the results so far. And whose texts share the next batch.

use std::collections::VecDeque;

use llama_cpp_2::token::LlamaToken;
use runner_protocol::Event;

use crate::{error::Error, model::adapters::AdapterScales, outbox::count};

/// What becomes of the results.
#[derive(Debug, Clone, Copy)]
pub(super) enum Task {
    /// Vectors.
    Embed {
        /// Numbers that are kept.
        width: usize,
        /// Whether they get the length 1.
        normalize: bool,
    },
    /// Scores.
    Rerank,
}

/// A text that fits.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) tokens: Vec<LlamaToken>,
    /// Whether it was longer.
    pub(super) cut: bool,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    task: Task,
    /// Scales of its adapters.
    scales: AdapterScales,
    texts: Vec<Text>,
    results: Vec<Vec<f32>>,
}

impl Job {
    pub(super) fn new(id: u64, task: Task, scales: AdapterScales, texts: Vec<Text>) -> Self {
        Self {
            id,
            task,
            scales,
            results: Vec::with_capacity(texts.len()),
            texts,
        }
    }

    /// Scales of its adapters.
    pub(super) fn scales(&self) -> &AdapterScales {
        &self.scales
    }

    /// Tokens that are still to be read.
    pub(super) fn outstanding(&self) -> usize {
        let texts = self.texts[self.results.len()..].iter();
        texts.map(|text| text.tokens.len()).sum()
    }

    /// The next texts that have no result.
    pub(super) fn next(&self, texts: usize) -> impl Iterator<Item = &[LlamaToken]> {
        let next = self.texts[self.results.len()..].iter().take(texts);
        next.map(|text| text.tokens.as_slice())
    }

    /// Takes the result of the next text.
    pub(super) fn take(&mut self, result: &[f32]) {
        self.results.push(match self.task {
            Task::Embed { width, normalize } => vector(&result[..width], normalize),
            Task::Rerank => result.to_vec(),
        });
    }

    /// Whether there is a result.
    pub(super) fn begun(&self) -> bool {
        !self.results.is_empty()
    }

    /// Whether there are all results.
    pub(super) fn over(&self) -> bool {
        self.results.len() == self.texts.len()
    }

    /// Results that there are, and will be.
    pub(super) fn progress(&self) -> (u32, u32) {
        (count(self.results.len()), count(self.texts.len()))
    }

    /// The answer.
    ///
    /// # Errors
    /// [`Error::NotFinite`] when the model computed nonsense, as damaged weights make it do.
    pub(super) fn end(self) -> Result<Event, Error> {
        if !self.results.iter().flatten().all(|value| value.is_finite()) {
            return Err(Error::NotFinite);
        }
        let tokens = self.texts.iter().map(|text| text.tokens.len()).sum();
        let cut = self.texts.iter().filter(|text| text.cut).count();
        Ok(self.task.event(self.results, count(tokens), count(cut)))
    }
}

/// A vector, with the length 1 if that is wanted. One without any length stays as it is.
fn vector(values: &[f32], normalize: bool) -> Vec<f32> {
    // Wider than the values, so that large ones do not overflow.
    let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
    let length = squares.sqrt();
    if !normalize || length == 0.0 {
        return values.to_vec();
    }
    values
        .iter()
        .map(|&value| (f64::from(value) / length) as f32)
        .collect()
}

/// How many of the next texts of each job with these scales go into one batch.
///
/// One text of each job in turn, the oldest first, until there are enough; so a short request does not wait for the end of a long one.
/// The first text always goes in, however long.
pub(super) fn share(
    jobs: &VecDeque<Job>,
    scales: &AdapterScales,
    most_tokens: usize,
    most_texts: usize,
) -> Vec<usize> {
    let mut shares = vec![0; jobs.len()];
    let mut queues: Vec<_> = jobs
        .iter()
        .map(|job| {
            let texts = if job.scales == *scales { usize::MAX } else { 0 };
            job.next(texts).map(<[_]>::len)
        })
        .collect();
    let (mut tokens, mut texts) = (0, 0);
    loop {
        let before = texts;
        for (queue, share) in queues.iter_mut().zip(&mut shares) {
            let Some(length) = queue.next() else {
                continue;
            };
            if texts > 0 && (tokens + length > most_tokens || texts == most_texts) {
                return shares;
            }
            tokens += length;
            texts += 1;
            *share += 1;
        }
        if texts == before {
            return shares;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u64, lengths: &[usize]) -> Job {
        scaled(id, &[], lengths)
    }

    fn scaled(id: u64, scales: &[u32], lengths: &[usize]) -> Job {
        let texts = lengths.iter().map(|&length| Text {
            tokens: vec![LlamaToken::new(1); length],
            cut: false,
        });
        let task = Task::Embed {
            width: 2,
            normalize: true,
        };
        Job::new(id, task, scales.to_vec(), texts.collect())
    }

    fn check(jobs: &[&[usize]], expected: &[usize]) {
        let jobs = jobs.iter().map(|lengths| job(1, lengths)).collect();
        assert_eq!(share(&jobs, &AdapterScales::new(), 100, 5), expected);
    }

    #[test]
    fn jobs_with_other_adapters_share_no_batch() {
        let jobs: VecDeque<Job> = [
            scaled(1, &[0, 1], &[10, 10]),
            scaled(2, &[0, 0], &[10]),
            scaled(3, &[0, 1], &[10]),
        ]
        .into();
        assert_eq!(share(&jobs, &vec![0, 0], 100, 5), [0, 1, 0]);
        assert_eq!(share(&jobs, &vec![0, 1], 100, 5), [2, 0, 1]);
    }

    #[test]
    fn a_batch_is_shared_in_turn() {
        check(&[], &[]);
        check(&[&[30, 30, 30, 30]], &[3]);
        check(&[&[10, 10, 10, 10, 10, 10]], &[5]);
        check(&[&[30, 30, 30], &[30]], &[2, 1]);
        check(&[&[1, 1, 1, 1], &[1], &[1, 1, 1, 1]], &[2, 1, 2]);
    }

    #[test]
    fn a_text_longer_than_a_shared_batch_goes_alone() {
        check(&[&[400, 1]], &[1]);
        check(&[&[90], &[400]], &[1, 0]);
    }

    #[test]
    fn results_are_cut_then_normalised_and_counted() {
        let mut job = job(1, &[3, 4]);
        assert_eq!((job.begun(), job.outstanding()), (false, 7));
        job.take(&[3.0, 4.0, 100.0]);
        assert_eq!(
            (job.begun(), job.over(), job.outstanding()),
            (true, false, 4)
        );
        assert_eq!(job.progress(), (1, 2));
        job.take(&[0.0, 0.0, 1.0]);
        let Ok(Event::Embeddings(embeddings)) = job.end() else {
            panic!("the numbers are finite");
        };
        assert_eq!(embeddings.vectors, [[0.6, 0.8], [0.0, 0.0]]);
        assert_eq!((embeddings.prompt_tokens, embeddings.truncated), (7, 0));
    }

    #[test]
    fn numbers_that_are_none_are_not_handed_out() {
        for wrong in [f32::NAN, f32::INFINITY] {
            let mut job = job(1, &[1]);
            job.take(&[1.0, wrong]);
            assert!(matches!(job.end(), Err(Error::NotFinite)));
        }
    }
}
