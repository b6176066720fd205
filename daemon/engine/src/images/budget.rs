//! Bounds the memory of encoded images.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Most bytes at a time. A typical view has 3 MB.
const MAX_BYTES: usize = 1 << 30;

/// The budget of a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// A part of it; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Reservation {
    bytes: usize,
    budget: Budget,
}

impl Budget {
    /// Reserves this many bytes, unless that is too much.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let taken = self.0.fetch_add(bytes, Ordering::Relaxed);
        let reserved = Reservation {
            bytes,
            budget: self.clone(),
        };
        (taken.saturating_add(bytes) <= MAX_BYTES).then_some(reserved)
    }
}

impl Reservation {
    /// How many bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_not_held_and_what_is_dropped_comes_back() {
        let budget = Budget::default();
        let most = budget.reserve(MAX_BYTES).unwrap();
        assert!(budget.reserve(1).is_none());
        drop(most);
        assert_eq!(budget.reserve(5).unwrap().bytes(), 5);
        assert!(budget.reserve(MAX_BYTES).is_some());
    }
}
