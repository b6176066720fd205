//! A model that crashes its runner again and again gets a rest, and a longer one each time.
//!
//! Otherwise every client that tries again would start a process, read gigabytes and crash, for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use registry::ModelKey;
use tokio::time::Instant;

/// Crashes within [`WINDOW`] that begin the first rest.
const CRASHES: usize = 3;

/// Crashes that are older do not count for the first rest.
const WINDOW: Duration = Duration::from_secs(60);

/// How long the first rest is. After it, one crash begins the next, which is twice as long.
const FIRST: Duration = Duration::from_secs(60);

/// No rest is longer.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// A model that does not crash for so long after its rest is as good as one that never did.
const WELL: Duration = Duration::from_secs(10 * 60);

/// Which models crashed, and which of them rest.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    patients: BTreeMap<ModelKey, Patient>,
}

/// A model that crashed not long ago.
#[derive(Debug, Default)]
struct Patient {
    /// Crashes since it was well.
    times: usize,
    /// The last of them, oldest first; no more than begin a rest.
    recent: Vec<Instant>,
    /// The last rest, and its end.
    rest: Option<(Duration, Instant)>,
}

impl Patient {
    fn is_well(&self, now: Instant) -> bool {
        let rested = self.rest.map(|(_, end)| end + WELL);
        let crashed = self.recent.last().map(|last| *last + WINDOW);
        [rested, crashed].into_iter().flatten().all(|at| at <= now)
    }

    fn crashed(&mut self, now: Instant) {
        self.times += 1;
        self.recent.retain(|crash| now - *crash < WINDOW);
        if self.recent.len() == CRASHES {
            self.recent.remove(0);
        }
        self.recent.push(now);
        let next = match self.rest {
            // One that was under way when the rest began.
            Some((_, end)) if now < end => return,
            Some((last, _)) => (2 * last).min(LONGEST),
            None if self.recent.len() < CRASHES => return,
            None => FIRST,
        };
        self.rest = Some((next, now + next));
    }
}

impl Breaker {
    /// Notes a crash.
    pub(super) fn crashed(&mut self, key: &ModelKey, now: Instant) {
        self.patients.retain(|_, patient| !patient.is_well(now));
        self.patients.entry(key.clone()).or_default().crashed(now);
    }

    /// How often the model crashed since it was well, and how long it still rests, if it does.
    pub(super) fn rests(&self, key: &ModelKey, now: Instant) -> Option<(usize, Duration)> {
        let patient = self.patients.get(key)?;
        let (_, end) = patient.rest?;
        let left = end.checked_duration_since(now)?;
        (!left.is_zero()).then_some((patient.times, left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::tests::key;

    /// One model, and a clock.
    struct Ward {
        breaker: Breaker,
        key: ModelKey,
        now: Instant,
    }

    impl Ward {
        fn new() -> Self {
            Self {
                breaker: Breaker::default(),
                key: key("a"),
                now: Instant::now(),
            }
        }

        /// Lets so many seconds go by, then crashes; says how often it crashed and how many seconds it rests.
        fn crash_after(&mut self, seconds: u64) -> Option<(usize, u64)> {
            self.now += Duration::from_secs(seconds);
            self.breaker.crashed(&self.key, self.now);
            self.rests()
        }

        fn rests(&self) -> Option<(usize, u64)> {
            let rest = self.breaker.rests(&self.key, self.now);
            rest.map(|(times, rest)| (times, rest.as_secs()))
        }
    }

    #[test]
    fn three_crashes_within_a_minute_begin_a_rest_of_a_minute() {
        let mut ward = Ward::new();
        assert_eq!(ward.crash_after(0), None);
        assert_eq!(ward.crash_after(20), None);
        assert_eq!(ward.crash_after(20), Some((3, 60)));
        assert_eq!(ward.breaker.rests(&key("b"), ward.now), None);
        ward.now += Duration::from_secs(59);
        assert_eq!(ward.rests(), Some((3, 1)));
        ward.now += Duration::from_secs(1);
        assert_eq!(ward.rests(), None);
    }

    #[test]
    fn each_crash_after_a_rest_begins_one_twice_as_long() {
        let mut ward = Ward::new();
        ward.crash_after(0);
        ward.crash_after(0);
        let mut last = ward.crash_after(0).unwrap().1;
        let mut rests = vec![last];
        for _ in 0..6 {
            last = ward.crash_after(last + 1).unwrap().1;
            rests.push(last);
        }
        assert_eq!(rests, [60, 120, 240, 480, 960, 1800, 1800]);
    }

    #[test]
    fn a_crash_during_a_rest_makes_it_no_longer() {
        let mut ward = Ward::new();
        ward.crash_after(0);
        ward.crash_after(0);
        ward.crash_after(0);
        assert_eq!(ward.crash_after(10), Some((4, 50)));
        assert_eq!(ward.crash_after(51), Some((5, 120)));
    }

    #[test]
    fn ten_minutes_without_a_crash_make_it_well_again() {
        let mut ward = Ward::new();
        ward.crash_after(0);
        ward.crash_after(0);
        ward.crash_after(0);
        assert_eq!(ward.crash_after(60 + 600), None);
        assert_eq!(ward.crash_after(1), None);
        assert_eq!(ward.crash_after(1), Some((3, 60)));
    }

    #[test]
    fn crashes_far_apart_do_not_count_and_are_forgotten() {
        let mut ward = Ward::new();
        for _ in 0..10 {
            assert_eq!(ward.crash_after(31), None);
        }
        ward.now += WINDOW;
        ward.breaker.crashed(&key("b"), ward.now);
        assert_eq!(ward.breaker.patients.len(), 1);
    }
}
