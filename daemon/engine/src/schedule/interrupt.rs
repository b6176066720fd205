//! Ends a decode call early that works for somebody who went away.
//!
//! A decode call that reads a long prompt takes seconds. Cancels arrive at the main thread meanwhile,
//! and llama.cpp asks a flag between two operations whether to go on.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// Between the main thread, which hears of cancels, and the engine thread, which computes.
#[derive(Debug, Default)]
pub(crate) struct Interrupt {
    /// Ids of the requests for which alone the present decode call works.
    working_for: Mutex<Vec<u64>>,
    stop: Arc<AtomicBool>,
}

impl Interrupt {
    /// The flag for llama.cpp to ask.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// The next decode call may be stopped when one of these is cancelled; none, and it may not.
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
