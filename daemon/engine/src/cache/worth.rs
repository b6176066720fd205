//! What it is worth to keep something for whoever begins alike: how often it was of use, and how lately.

use std::time::{Duration, Instant};

/// After this time without use, it is worth half as much.
pub(crate) const HALF_LIFE: Duration = Duration::from_secs(300);

/// The worth of one thing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worth {
    /// When somebody last began like it.
    used: Instant,
    /// How often somebody did.
    hits: u32,
}

impl Worth {
    /// Of something that was last used at this time.
    pub(crate) fn new(used: Instant) -> Self {
        Self { used, hits: 0 }
    }

    /// Somebody began like it.
    pub(crate) fn hit(&mut self, now: Instant) {
        self.used = now;
        self.hits = self.hits.saturating_add(1);
    }

    /// A number to compare with others.
    pub(crate) fn value(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.used).as_secs_f64();
        f64::from(self.hits + 1) * 0.5_f64.powf(age / HALF_LIFE.as_secs_f64())
    }
}
