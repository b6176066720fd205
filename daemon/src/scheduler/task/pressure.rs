//! Unloads idle models when other programs need the memory.

use std::time::Duration;

use tokio::time::Instant;

use super::super::entry::{Entry, State};
use super::Task;
use crate::memory::Bytes;

/// Time between two looks at the memory, while models are loaded.
const LOOK: Duration = Duration::from_secs(2);

/// Time until the averages of PSI (`avg10`) show that a model was unloaded.
const SETTLE: Duration = Duration::from_secs(10);

/// Percent of the time in which processes wait for memory, from which on it counts as short.
const STALLED: f64 = 10.0;

/// How long spare runners wait for a load.
const SPARE_LIFETIME: Duration = Duration::from_secs(15 * 60);

impl Task {
    /// Spare runners are kept from now on for a while.
    pub(super) fn keep_spares(&mut self) {
        self.spares_end = Some(Instant::now() + SPARE_LIFETIME);
    }

    /// Ends the spare runners when no load came for a while.
    pub(super) fn end_spares(&mut self) {
        if self.spares_end.is_some_and(|end| end <= Instant::now()) {
            self.spares_end = None;
            self.loader.give_back();
        }
    }

    /// When the memory is looked at next; `None` without models.
    pub(super) fn next_look(&self) -> Option<Instant> {
        (!self.table.is_empty()).then_some(self.look)
    }

    /// Unloads the least valuable idle model when the memory is short: less than half of the reserve is available, or less than twice
    /// the reserve while processes wait for memory.
    pub(super) fn relieve(&mut self) {
        let now = Instant::now();
        if self.table.is_empty() || now < self.look {
            return;
        }
        self.look = now + LOOK;
        let Some(memory) = self.machine.memory() else {
            return;
        };
        let reserve = self.options.budget.reserve(memory.total);
        let is_short = memory.available < reserve / 2;
        let is_stalled = memory.stalled >= STALLED && memory.available < reserve.saturating_mul(2);
        let is_stopping = |entry: &Entry| matches!(entry.state, State::Stopping);
        if !(is_short || is_stalled) || self.table.values().any(is_stopping) {
            return;
        }
        if self.loader.give_back() {
            return;
        }
        let Some(id) = self.least_valuable() else {
            return;
        };
        self.look = now + SETTLE;
        let wait = if memory.stalled >= 0.5 {
            format!(", and they wait for it {:.0} % of the time", memory.stalled)
        } else {
            String::new()
        };
        let why = format!(
            "other programs need memory: {} of {} are available, of which {} are kept free{wait}",
            Bytes(memory.available),
            Bytes(memory.total),
            Bytes(reserve)
        );
        self.stop(id, why);
    }

    /// The idle model that is worth least, pinned ones aside.
    fn least_valuable(&self) -> Option<u64> {
        let idle = |entry: &Entry| entry.is_idle() && !self.is_pinned(entry);
        self.table
            .iter()
            .filter(|(_, entry)| idle(entry))
            .min_by(|(_, a), (_, b)| {
                let (a, b) = (self.worth(a), self.worth(b));
                a.class.cmp(&b.class).then(a.value.total_cmp(&b.value))
            })
            .map(|(id, _)| *id)
    }
}
