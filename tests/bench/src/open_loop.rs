//! Requests at a fixed rate: each is sent when it is due, also while earlier ones wait.
//!
//! A client that waits for an answer before its next request would send fewer requests to a slow server, and hide its slowness.
//! So the time of a request counts from the moment when it was due.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::statistics::Samples;

/// Requests that can wait for answers at the same time.
const CLIENTS: usize = 16;

/// Sends `count` requests at `rate` per second, and returns their times in milliseconds.
///
/// # Errors
/// One of them failed.
pub(super) fn run(rate: u32, count: u32, ask: impl Fn() -> Result<()> + Sync) -> Result<Samples> {
    let next = AtomicU32::new(0);
    let start = Instant::now();
    let client = || {
        let mut times = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(times);
            }
            let due = start + Duration::from_secs(1) * number / rate;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            ask()?;
            times.push(due.elapsed().as_secs_f64() * 1000.0);
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let mut all = Samples::default();
        for client in clients {
            let times: Result<Vec<f64>> =
                client.join().map_err(|_| anyhow!("a client panicked"))?;
            all.extend(times?);
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_sent_at_its_time() -> Result<()> {
        let sent = AtomicU32::new(0);
        let began = Instant::now();
        let times = run(1000, 20, || {
            sent.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })?;
        assert_eq!(sent.into_inner(), 20);
        assert!(began.elapsed() >= Duration::from_millis(19));
        assert!(times.smallest() >= 0.0);
        Ok(())
    }

    #[test]
    fn a_failed_request_is_an_error() {
        let failed = run(1000, 3, || Err(anyhow!("refused")));
        assert!(failed.is_err());
    }
}
