//! Collects garbage in the store from time to time: uploads without a model, and files of a crashed process.
//!
//! Garbage collection removes nothing that a manifest, a blob lease or a running operation names, so it can run at any time.

use std::time::Duration;

use registry::Registry;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::error::chain;

/// When garbage is collected.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Time before the first collection.
    pub first: Duration,
    /// Time between collections.
    pub every: Duration,
}

impl Default for Schedule {
    /// First after a minute, when the first requests are answered; then once in the lifetime of an upload's lease.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(60),
            every: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Collects garbage until `stop` is cancelled.
pub async fn sweep(
    registry: Registry,
    Schedule { first, every }: Schedule,
    stop: CancellationToken,
) {
    let mut times = interval_at(Instant::now() + first, every);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(times.tick()).await.is_some() {
        match registry.gc().await {
            Ok(report) if report.is_blocked() => {
                let models: Vec<_> = report.blocked_by.iter().map(ToString::to_string).collect();
                tracing::warn!(
                    ?models,
                    paths = ?report.strange,
                    "the store is not swept: what these manifests name is not known; remove or mend them"
                );
            }
            Ok(report) => {
                tracing::info!(
                    removed = report.removed.len(),
                    bytes = report.bytes,
                    "swept the store"
                );
            }
            Err(error) => tracing::warn!("cannot sweep the store: {}", chain(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unnamed_blob_is_removed_without_a_request() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let options = registry::Options::new(home.path());
        let registry = Registry::open(options).await.expect("a fresh store");
        let digest = registry::Digest::of(b"left behind");
        let blob = home.path().join("models/blobs").join(digest.file_name());
        std::fs::write(&blob, b"left behind").expect("our own store");

        let schedule = Schedule {
            first: Duration::ZERO,
            ..Schedule::default()
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(sweep(registry.clone(), schedule, stop.clone()));
        while blob.exists() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        task.await.expect("it ends when it is stopped");
        registry.close().await;
    }
}
