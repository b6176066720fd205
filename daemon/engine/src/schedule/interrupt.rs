//! Ends a decode call early when all requests that it works for are cancelled.
//!
//! Prefill of a long prompt takes seconds. Cancels arrive at the main thread meanwhile,
//! and llama.cpp checks a flag between two operations.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// Shared by the main thread, which receives cancels, and the engine thread, which computes.
#[derive(Debug, Default)]
pub(crate) struct Interrupt {
    /// Ids of the requests that the present decode call works for.
    working_for: Mutex<Vec<u64>>,
    stop: Arc<AtomicBool>,
}

impl Interrupt {
    /// The flag that llama.cpp checks.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Sets the requests of the next decode call. With none, it cannot be stopped.
    pub(crate) fn watch(&self, requests: Vec<u64>) {
        let mut working_for = self
            .working_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *working_for = requests;
        self.stop.store(false, Ordering::Relaxed);
    }

    /// A request was cancelled.
    pub(crate) fn cancelled(&self, request: u64) {
        let working_for = self
            .working_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if working_for.contains(&request) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_that_are_worked_for_stop_the_work() {
        let interrupt = Interrupt::default();
        let stopped = || interrupt.flag().load(Ordering::Relaxed);
        interrupt.cancelled(1);
        assert!(!stopped());
        interrupt.watch(vec![1, 2]);
        interrupt.cancelled(3);
        assert!(!stopped());
        interrupt.cancelled(2);
        assert!(stopped());
        interrupt.watch(Vec::new());
        assert!(!stopped());
        interrupt.cancelled(2);
        assert!(!stopped());
    }
}
