//! One counter over all the parts of a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Digest, Progress, Reporter, Stage};

/// Joins the progress of several parts, each downloaded and unpacked, into one that never goes back.
pub(super) struct JoinedProgress {
    size: Option<u64>,
    digest: Option<Digest>,
    reporter: Reporter,
    done: Arc<AtomicU64>,
}

impl JoinedProgress {
    /// For a file of `size` bytes. Where that is not known, each step reports its own total.
    pub(super) fn new(size: Option<u64>, digest: Option<Digest>, reporter: &Reporter) -> Self {
        Self {
            size,
            digest,
            reporter: reporter.clone(),
            done: Arc::default(),
        }
    }

    /// Where the part tells its progress that begins after so many bytes of the file.
    pub(super) fn part_after(&self, bytes: u64) -> Reporter {
        let (digest, reporter) = (self.digest, self.reporter.clone());
        let Some(size) = self.size else {
            return reporter;
        };
        let most = self.done.clone();
        Reporter::new(move |part| {
            let done = bytes.saturating_add(part.completed).min(size);
            let before = most.fetch_max(done, Ordering::Relaxed);
            reporter.report(Progress {
                stage: Stage::DownloadingWeights,
                digest,
                total: size,
                completed: before.max(done),
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn parts_count_on_and_never_back() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let reporter = Reporter::new(move |progress| {
            assert_eq!(
                (progress.stage, progress.total),
                (Stage::DownloadingWeights, 10)
            );
            sink.lock().expect("no panic").push(progress.completed);
        });
        let whole = JoinedProgress::new(Some(10), None, &reporter);
        let told = |part: &Reporter, completed| {
            part.report(Progress {
                stage: Stage::Copying,
                digest: None,
                total: 9,
                completed,
            });
        };
        let first = whole.part_after(0);
        for completed in [0, 4, 0, 3, 5] {
            told(&first, completed);
        }
        let second = whole.part_after(6);
        for completed in [0, 9] {
            told(&second, completed);
        }
        assert_eq!(*seen.lock().expect("no panic"), [0, 4, 4, 4, 5, 6, 10]);
    }
}
