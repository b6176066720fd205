//! How much a cached sequence is worth: how often it was used, and how recently.

use std::time::{Duration, Instant};

/// After this time without use, it is worth half as much.
pub(crate) const HALF_LIFE: Duration = Duration::from_secs(300);

/// The worth of one sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worth {
    /// When it was last used.
    used: Instant,
    /// How often it was used.
    hits: u32,
}

impl Worth {
    /// The worth of a sequence that was last used at this time.
    pub(crate) fn new(used: Instant) -> Self {
        Self { used, hits: 0 }
    }

    /// It was used.
    pub(crate) fn hit(&mut self, now: Instant) {
        self.used = now;
        self.hits = self.hits.saturating_add(1);
    }

    /// A number to compare with that of others.
    pub(crate) fn value(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.used).as_secs_f64();
        f64::from(self.hits + 1) * 0.5_f64.powf(age / HALF_LIFE.as_secs_f64())
    }
}
