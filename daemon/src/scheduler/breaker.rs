//! A model that crashes its runner again and again gets a rest.
//!
//! Otherwise every client that tries again would start a process, read gigabytes and crash, for ever.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::Key;

/// Crashes that open the breaker when they happen within [`WINDOW`].
const CRASHES: usize = 3;

/// Crashes that are older do not count, and a rest is over when the oldest of the counted ones is that old.
const WINDOW: Duration = Duration::from_secs(60);

/// When which model crashed.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    crashes: BTreeMap<Key, VecDeque<Instant>>,
}

impl Breaker {
    /// Notes a crash.
    pub(super) fn crashed(&mut self, key: &Key, now: Instant) {
        // Also the place where models that crash no more are forgotten.
        self.crashes
            .retain(|_, times| times.back().is_some_and(|last| now - *last < WINDOW));
        let times = self.crashes.entry(key.clone()).or_default();
        times.push_back(now);
        if times.len() > CRASHES {
            times.pop_front();
        }
    }

    /// How often the model crashed and how long it still rests, if it does.
    pub(super) fn rests(&self, key: &Key, now: Instant) -> Option<(usize, Duration)> {
        let times = self.crashes.get(key)?;
        if times.len() < CRASHES {
            return None;
        }
        let rest = WINDOW.checked_sub(now - *times.front()?)?;
        (!rest.is_zero()).then_some((times.len(), rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn three_crashes_within_a_minute_open_it_until_the_first_is_a_minute_old() {
        let mut breaker = Breaker::default();
        let key = Key::of(["a"]);
        for seconds in [0, 20, 20] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(breaker.rests(&key, Instant::now()), None);
            breaker.crashed(&key, Instant::now());
        }
        assert_eq!(
            breaker.rests(&key, Instant::now()),
            Some((3, Duration::from_secs(20)))
        );
        assert_eq!(breaker.rests(&Key::of(["b"]), Instant::now()), None);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(breaker.rests(&key, Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn crashes_far_apart_do_not_count() {
        let mut breaker = Breaker::default();
        let key = Key::of(["a"]);
        for _ in 0..10 {
            breaker.crashed(&key, Instant::now());
            assert_eq!(breaker.rests(&key, Instant::now()), None);
            tokio::time::advance(Duration::from_secs(31)).await;
        }
    }
}
