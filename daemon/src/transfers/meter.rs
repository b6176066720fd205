//! Counts the bytes of a job, and measures its rate.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use registry::{Digest, Progress, Stage};
use tokio::time::Instant;

/// The time over which the rate is averaged.
const SPAN: Duration = Duration::from_secs(10);
/// The time between two samples.
const SAMPLE: Duration = Duration::from_millis(500);
/// Most files that are counted.
const FILES: usize = 4096;

/// Counts the bytes of one job from the reports of its work.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Files of all runs; a later run may not report them again.
    files: BTreeMap<Digest, File>,
    runs: u64,
    /// Bytes that this run moved.
    moved: u64,
    samples: VecDeque<(Instant, u64)>,
}

#[derive(Debug)]
struct File {
    completed: u64,
    total: u64,
    /// The run that reported it last.
    run: u64,
}

impl Meter {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The counters are valid after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run of the job.
    pub(super) fn begin(&self) {
        let mut state = self.lock();
        state.runs += 1;
        state.moved = 0;
        state.samples.clear();
    }

    /// Counts a report of the work; only reports of a transfer count.
    pub(super) fn report(&self, progress: &Progress, now: Instant) {
        let (Stage::Pulling(blob) | Stage::Pushing(blob)) = &progress.stage else {
            return;
        };
        let mut state = self.lock();
        let state = &mut *state;
        let full = state.files.len() >= FILES;
        let reported = File {
            completed: progress.completed,
            total: progress.total,
            run: state.runs,
        };
        match state.files.get_mut(blob) {
            Some(file) => {
                if file.run == state.runs {
                    state.moved += progress.completed.saturating_sub(file.completed);
                }
                *file = reported;
            }
            None if full => return,
            None => {
                state.files.insert(*blob, reported);
            }
        }
        let is_due = state
            .samples
            .back()
            .is_none_or(|(at, _)| now.saturating_duration_since(*at) >= SAMPLE);
        if is_due {
            state.samples.push_back((now, state.moved));
            state.forget(now);
        }
    }

    /// Bytes that this run moved.
    pub(super) fn moved(&self) -> u64 {
        self.lock().moved
    }

    /// Completed bytes and total bytes; `None` before the first file.
    pub(super) fn bytes(&self) -> Option<(u64, u64)> {
        let state = self.lock();
        let add = |(completed, total): (u64, u64), file: &File| {
            (
                completed.saturating_add(file.completed),
                total.saturating_add(file.total.max(file.completed)),
            )
        };
        (!state.files.is_empty()).then(|| state.files.values().fold((0, 0), add))
    }

    /// Bytes per second, averaged over [`SPAN`].
    pub(super) fn rate(&self, now: Instant) -> u64 {
        let mut state = self.lock();
        state.forget(now);
        let Some((since, before)) = state.samples.front() else {
            return 0;
        };
        let time = now.saturating_duration_since(*since);
        if time < SAMPLE {
            return 0;
        }
        ((state.moved - before) as f64 / time.as_secs_f64()) as u64
    }
}

impl State {
    fn forget(&mut self, now: Instant) {
        while self
            .samples
            .front()
            .is_some_and(|(at, _)| now.saturating_duration_since(*at) > SPAN)
        {
            self.samples.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(meter: &Meter, stage: Stage, completed: u64, now: Instant) {
        let progress = Progress {
            stage,
            digest: None,
            total: 1000,
            completed,
        };
        meter.report(&progress, now);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_of_earlier_runs_count_as_completed_and_not_for_the_rate() {
        let (meter, begun) = (Meter::default(), Instant::now());
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        meter.begin();
        report(&meter, Stage::Pulling(a), 500, begun);
        report(&meter, Stage::Pulling(b), 0, begun);
        report(&meter, Stage::Verifying(a), 9, begun);
        report(
            &meter,
            Stage::Pulling(a),
            700,
            begun + Duration::from_secs(2),
        );
        assert_eq!(meter.bytes(), Some((700, 2000)));
        assert_eq!(meter.moved(), 200);
        assert_eq!(meter.rate(begun + Duration::from_secs(4)), 50);
        // Long after the last report.
        assert_eq!(meter.rate(begun + Duration::from_secs(60)), 0);
        meter.begin();
        report(&meter, Stage::Pulling(a), 600, begun);
        assert_eq!((meter.bytes(), meter.moved()), (Some((600, 2000)), 0));
    }
}
