//! How often each model is requested, and what a load of it costs: what decides which model is worth its memory.
//!
//! The rate of requests is estimated by two counters that decay, a slow and a fast one: a model that is used every day outlasts one
//! that was used once a minute ago, and a conversation of this minute outlasts both.
//! The counters outlive the unload of a model; an estimate that began anew with each load would favour what happens to be loaded.

use std::collections::BTreeMap;
use std::time::Duration;

use registry::ModelKey;
use tokio::time::Instant;

/// Half-lives of the counters.
const SLOW: Duration = Duration::from_secs(4 * 3600);
const FAST: Duration = Duration::from_secs(5 * 60);

/// Share of the fast counter in the estimate.
const FAST_SHARE: f64 = 0.03;

/// Exponent of the time of a load in the value of a model. That time grows with the bytes of a model, by which the decision divides the
/// value, so the whole time would cancel the bytes, and many small models would leave for a large one. Measured in `tests/zipf.rs`.
const LOAD_EXPONENT: f64 = 0.25;

/// Most models that are counted. Of more, the least requested one is forgotten.
const MOST: usize = 1024;

/// Cost of a load that was never measured.
const UNKNOWN_LOAD: Duration = Duration::from_secs(1);

/// The counters of all models.
#[derive(Debug, Default)]
pub(super) struct Popularity(BTreeMap<ModelKey, Counters>);

#[derive(Debug, Clone, Copy)]
struct Counters {
    slow: f64,
    fast: f64,
    at: Instant,
    load: Option<Duration>,
}

impl Counters {
    fn new(now: Instant) -> Self {
        Self {
            slow: 0.0,
            fast: 0.0,
            at: now,
            load: None,
        }
    }

    /// The counters at another time.
    fn decayed(self, now: Instant) -> Self {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let rest = |half: Duration| (-passed / half.as_secs_f64()).exp2();
        Self {
            slow: self.slow * rest(SLOW),
            fast: self.fast * rest(FAST),
            at: now,
            ..self
        }
    }

    /// Requests per second.
    fn rate(&self) -> f64 {
        let per_second =
            |count: f64, half: Duration| count * std::f64::consts::LN_2 / half.as_secs_f64();
        (1.0 - FAST_SHARE) * per_second(self.slow, SLOW) + FAST_SHARE * per_second(self.fast, FAST)
    }
}

impl Popularity {
    /// Counts a request.
    pub(super) fn requested(&mut self, key: &ModelKey, now: Instant) {
        let counters = self.counters(key, now);
        counters.slow += 1.0;
        counters.fast += 1.0;
    }

    /// Remembers what a load took.
    pub(super) fn loaded(&mut self, key: &ModelKey, took: Duration, now: Instant) {
        self.counters(key, now).load = Some(took);
    }

    /// What it is worth to keep the model loaded, in no unit: requests per second, weighted by the time of a load.
    pub(super) fn value(&self, key: &ModelKey, now: Instant) -> f64 {
        let Some(counters) = self.0.get(key) else {
            return 0.0;
        };
        let cost = counters.load.unwrap_or(UNKNOWN_LOAD).as_secs_f64();
        counters.decayed(now).rate() * cost.max(0.01).powf(LOAD_EXPONENT)
    }

    fn counters(&mut self, key: &ModelKey, now: Instant) -> &mut Counters {
        if self.0.len() >= MOST && !self.0.contains_key(key) {
            self.forget_one(now);
        }
        let counters = self.0.entry(key.clone()).or_insert(Counters::new(now));
        *counters = counters.decayed(now);
        counters
    }

    fn forget_one(&mut self, now: Instant) {
        let rate = |counters: &Counters| counters.decayed(now).rate();
        let least = self
            .0
            .iter()
            .min_by(|(_, a), (_, b)| rate(a).total_cmp(&rate(b)))
            .map(|(key, _)| key.clone());
        if let Some(key) = least {
            self.0.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::key;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_and_the_cost_of_a_load_make_a_model_valuable() {
        let mut popularity = Popularity::default();
        let now = Instant::now();
        let second = |n: u64| now + Duration::from_secs(n);
        assert_eq!(popularity.value(&key("a"), now), 0.0);
        popularity.requested(&key("a"), now);
        popularity.requested(&key("b"), second(10));
        // The later request counts more, the second more still.
        let value = |popularity: &Popularity, name| popularity.value(&key(name), second(20));
        assert!(value(&popularity, "b") > value(&popularity, "a"));
        popularity.requested(&key("a"), second(11));
        assert!(value(&popularity, "a") > value(&popularity, "b"));
        popularity.loaded(&key("b"), Duration::from_secs(100), second(12));
        assert!(value(&popularity, "b") > value(&popularity, "a"));
        // A day later neither is worth much.
        assert!(popularity.value(&key("b"), second(86_400)) < value(&popularity, "b") / 10.0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_counted_models_is_bounded() {
        let mut popularity = Popularity::default();
        let now = Instant::now();
        for n in 0..MOST + 10 {
            for _ in 0..if n == 5 { 3 } else { 1 } {
                popularity.requested(&key(&n.to_string()), now);
            }
        }
        assert_eq!(popularity.0.len(), MOST);
        assert!(popularity.value(&key("5"), now) > 0.0);
    }
}
