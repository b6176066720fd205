//! A circuit breaker for each model: open, it refuses to load a model that crashed its runner again and again.
//!
//! Without it, every client that tries again would start a process, read gigabytes and crash.

use std::collections::BTreeMap;
use std::time::Duration;

use registry::ModelKey;
use tokio::time::Instant;

/// Crashes within [`WINDOW`] that open a breaker for the first time.
const CRASHES: usize = 3;

/// How long a crash counts for the first opening.
const WINDOW: Duration = Duration::from_secs(60);

/// How long a breaker is open for the first time. From then on each crash opens it again, for twice as long.
const FIRST: Duration = Duration::from_secs(60);

/// The longest time that a breaker is open.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// A model without a crash for this long after its breaker closed is forgotten.
const FORGET: Duration = Duration::from_secs(10 * 60);

/// The models that crashed, each with its breaker.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    records: BTreeMap<ModelKey, CrashRecord>,
}

/// The crashes of one model, and when its breaker is open.
#[derive(Debug, Default)]
struct CrashRecord {
    /// Crashes in this record.
    crashes: usize,
    /// The last of them, oldest first; at most [`CRASHES`].
    recent: Vec<Instant>,
    /// How long the breaker was last opened, and until when.
    open_until: Option<(Duration, Instant)>,
}

impl CrashRecord {
    fn is_over(&self, now: Instant) -> bool {
        let open = self.open_until.map(|(_, until)| until + FORGET);
        let crashed = self.recent.last().map(|last| *last + WINDOW);
        [open, crashed].into_iter().flatten().all(|at| at <= now)
    }

    fn crashed(&mut self, now: Instant) {
        self.crashes += 1;
        self.recent.retain(|crash| now - *crash < WINDOW);
        if self.recent.len() == CRASHES {
            self.recent.remove(0);
        }
        self.recent.push(now);
        let next = match self.open_until {
            // A load that was under way when the breaker opened.
            Some((_, until)) if now < until => return,
            Some((last, _)) => (2 * last).min(LONGEST),
            None if self.recent.len() < CRASHES => return,
            None => FIRST,
        };
        self.open_until = Some((next, now + next));
    }
}

impl Breaker {
    /// Notes a crash.
    pub(super) fn crashed(&mut self, key: &ModelKey, now: Instant) {
        self.records.retain(|_, record| !record.is_over(now));
        self.records.entry(key.clone()).or_default().crashed(now);
    }

    /// While the breaker of a model is open: the crashes of the model, and how long it stays open.
    pub(super) fn open(&self, key: &ModelKey, now: Instant) -> Option<(usize, Duration)> {
        let record = self.records.get(key)?;
        let (_, until) = record.open_until?;
        let left = until.checked_duration_since(now)?;
        (!left.is_zero()).then_some((record.crashes, left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::tests::key;

    /// One model, and a clock.
    struct Bench {
        breaker: Breaker,
        key: ModelKey,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                breaker: Breaker::default(),
                key: key("a"),
                now: Instant::now(),
            }
        }

        /// Crashes after this many seconds. Returns the crashes and for how many seconds the breaker is open.
        fn crash_after(&mut self, seconds: u64) -> Option<(usize, u64)> {
            self.now += Duration::from_secs(seconds);
            self.breaker.crashed(&self.key, self.now);
            self.open()
        }

        fn open(&self) -> Option<(usize, u64)> {
            let open = self.breaker.open(&self.key, self.now);
            open.map(|(crashes, left)| (crashes, left.as_secs()))
        }
    }

    #[test]
    fn three_crashes_within_a_minute_open_the_breaker_for_a_minute() {
        let mut bench = Bench::new();
        assert_eq!(bench.crash_after(0), None);
        assert_eq!(bench.crash_after(20), None);
        assert_eq!(bench.crash_after(20), Some((3, 60)));
        assert_eq!(bench.breaker.open(&key("b"), bench.now), None);
        bench.now += Duration::from_secs(59);
        assert_eq!(bench.open(), Some((3, 1)));
        bench.now += Duration::from_secs(1);
        assert_eq!(bench.open(), None);
    }

    #[test]
    fn each_crash_after_it_closed_opens_it_for_twice_as_long() {
        let mut bench = Bench::new();
        bench.crash_after(0);
        bench.crash_after(0);
        let mut last = bench.crash_after(0).unwrap().1;
        let mut open = vec![last];
        for _ in 0..6 {
            last = bench.crash_after(last + 1).unwrap().1;
            open.push(last);
        }
        assert_eq!(open, [60, 120, 240, 480, 960, 1800, 1800]);
    }

    #[test]
    fn a_crash_while_it_is_open_keeps_it_open_no_longer() {
        let mut bench = Bench::new();
        bench.crash_after(0);
        bench.crash_after(0);
        bench.crash_after(0);
        assert_eq!(bench.crash_after(10), Some((4, 50)));
        assert_eq!(bench.crash_after(51), Some((5, 120)));
    }

    #[test]
    fn ten_minutes_without_a_crash_end_the_record() {
        let mut bench = Bench::new();
        bench.crash_after(0);
        bench.crash_after(0);
        bench.crash_after(0);
        assert_eq!(bench.crash_after(60 + 600), None);
        assert_eq!(bench.crash_after(1), None);
        assert_eq!(bench.crash_after(1), Some((3, 60)));
    }

    #[test]
    fn crashes_far_apart_do_not_count_and_are_forgotten() {
        let mut bench = Bench::new();
        for _ in 0..10 {
            assert_eq!(bench.crash_after(31), None);
        }
        bench.now += WINDOW;
        bench.breaker.crashed(&key("b"), bench.now);
        assert_eq!(bench.breaker.records.len(), 1);
    }
}
