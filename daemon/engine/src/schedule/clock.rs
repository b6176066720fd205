//! The times of a request.

use std::time::{Duration, Instant};

/// When a request arrived, was admitted, and had its prompt computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    arrived: Instant,
    admitted: Option<Instant>,
    prefilled: Option<Instant>,
}

impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self {
            arrived: Instant::now(),
            admitted: None,
            prefilled: None,
        }
    }

    /// Notes that the request has a slot, and returns whether it is the first time. Only the first time counts, also for a sequence
    /// that was evicted and admitted again.
    pub(crate) fn admitted(&mut self) -> bool {
        let first = self.admitted.is_none();
        self.admitted.get_or_insert_with(Instant::now);
        first
    }

    /// The first time counts.
    pub(crate) fn prefilled(&mut self) {
        self.prefilled.get_or_insert_with(Instant::now);
    }

    /// How long ago it came.
    pub(crate) fn age(self) -> Duration {
        self.arrived.elapsed()
    }

    /// Time in the queue, in prefill and in decode, until now.
    pub(crate) fn durations(self) -> (Duration, Duration, Duration) {
        let now = Instant::now();
        let admitted = self.admitted.unwrap_or(now);
        let prefilled = self.prefilled.unwrap_or(now);
        (
            admitted - self.arrived,
            prefilled.saturating_duration_since(admitted),
            now - prefilled,
        )
    }
}
