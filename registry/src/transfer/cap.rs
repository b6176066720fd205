//! The rate cap of all transfers together: a token bucket, whose rate can change.
//!
//! A connection pays for the bytes it has read before it reads on. While it waits, its socket is not read, so the
//! sender slows down too. The wait does not count as a stall: see `Plan::held`.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Unused rate of so long may be used at once.
const BURST: Duration = Duration::from_millis(250);

/// The bucket. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub(super) struct Cap {
    /// Bytes per second; 0 for no limit.
    rate: Arc<AtomicU64>,
    /// When all bytes so far are paid.
    paid_at: Arc<Mutex<Instant>>,
}

impl Cap {
    /// So many bytes per second; `None` sets no limit.
    pub(super) fn new(rate: Option<NonZeroU64>) -> Self {
        let cap = Self {
            rate: Arc::default(),
            paid_at: Arc::new(Mutex::new(Instant::now())),
        };
        cap.set(rate);
        cap
    }

    /// Changes the rate of all clones. A connection that waits finishes its wait.
    pub(super) fn set(&self, rate: Option<NonZeroU64>) {
        let rate = rate.map_or(0, NonZeroU64::get);
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// Takes bytes, and waits until they are paid. `held` is set while it waits.
    pub(super) async fn pay(&self, bytes: usize, held: &AtomicBool) {
        let Some(rate) = NonZeroU64::new(self.rate.load(Ordering::Relaxed)) else {
            return;
        };
        let now = Instant::now();
        let paid_at = self.take(bytes as u64, rate, now);
        if paid_at > now {
            held.store(true, Ordering::Relaxed);
            sleep_until(paid_at).await;
            held.store(false, Ordering::Relaxed);
        }
    }

    /// Takes bytes at `now`. Returns when they are paid.
    fn take(&self, bytes: u64, rate: NonZeroU64, now: Instant) -> Instant {
        let cost = Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        // A poisoned lock is taken: a time is one value.
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        *paid_at = (*paid_at).max(earliest) + cost;
        *paid_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cap(rate: u64) -> Cap {
        Cap::new(NonZeroU64::new(rate))
    }

    #[tokio::test(start_paused = true)]
    async fn connections_together_get_the_rate_and_no_more() {
        let cap = cap(1_000_000);
        let begun = Instant::now();
        let connection = async || {
            let held = AtomicBool::new(false);
            for _ in 0..100 {
                cap.pay(50_000, &held).await;
            }
        };
        tokio::join!(connection(), connection(), connection(), connection());
        // 4 times 100 times 50 kB.
        assert_eq!(begun.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_rate_counts_for_all_clones() {
        let cap = cap(0);
        let other = cap.clone();
        let begun = Instant::now();
        let held = AtomicBool::new(false);
        cap.pay(1_000_000_000, &held).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        other.set(NonZeroU64::new(1_000_000));
        for _ in 0..20 {
            cap.pay(1_000_000, &held).await;
        }
        assert_eq!(begun.elapsed().as_secs(), 20);
        other.set(None);
        cap.pay(1_000_000_000, &held).await;
        assert_eq!(begun.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_taken_is_not_saved_for_long() {
        let cap = cap(1_000_000);
        let rate = NonZeroU64::new(1_000_000).expect("more than 0");
        tokio::time::advance(Duration::from_secs(3600)).await;
        let now = Instant::now();
        assert!(cap.take(200_000, rate, now) <= now, "a burst");
        assert_eq!(cap.take(1_050_000, rate, now) - now, Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_waits_says_so() {
        let (cap, held) = (cap(1000), AtomicBool::new(false));
        let wait = cap.pay(10_000, &held);
        tokio::select! {
            biased;
            () = wait => panic!("ten seconds' worth"),
            () = tokio::time::sleep(Duration::from_secs(1)) => assert!(held.load(Ordering::Relaxed)),
        }
    }
}
