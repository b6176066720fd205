//! How far an operation has come, told to whoever asked for it.

use std::sync::Arc;

use crate::Digest;

/// One word about an operation in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, for people: `verifying b179c9523d0e`.
    pub status: String,
    /// The blob it is done to, where it is one.
    pub digest: Option<Digest>,
    /// Bytes in all; 0 where bytes are not the measure.
    pub total: u64,
    /// Bytes done, from 0 to `total`.
    pub completed: u64,
}

/// Where progress goes. Cheap to clone; called from the thread that does the work, so it must not block.
#[derive(Clone)]
pub struct Reporter(Arc<dyn Fn(Progress) + Send + Sync>);

impl Reporter {
    /// Bytes between two reports about the same blob: frequent enough for a smooth bar, rare enough to cost nothing.
    const STRIDE: u64 = 4 << 20;

    /// Sends each report to `sink`.
    pub fn new(sink: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// A step that has no bytes to count.
    pub fn status(&self, status: impl Into<String>) {
        (self.0)(Progress {
            status: status.into(),
            digest: None,
            total: 0,
            completed: 0,
        });
    }

    /// Passes one report on.
    pub fn report(&self, progress: Progress) {
        (self.0)(progress);
    }

    /// A counter of `total` bytes that reports now, every few mebibytes and at the end.
    pub fn meter(&self, status: impl Into<String>, digest: Option<Digest>, total: u64) -> Meter {
        let meter = Meter {
            reporter: self.clone(),
            status: status.into(),
            digest,
            total,
            completed: 0,
            reported: 0,
        };
        meter.report();
        meter
    }
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reporter")
    }
}

/// Counts the bytes of one blob for a [`Reporter`].
#[derive(Debug)]
pub struct Meter {
    reporter: Reporter,
    status: String,
    digest: Option<Digest>,
    total: u64,
    completed: u64,
    reported: u64,
}

impl Meter {
    /// `bytes` more are done.
    pub fn add(&mut self, bytes: u64) {
        self.completed += bytes;
        if self.completed - self.reported >= Reporter::STRIDE || self.completed == self.total {
            self.reported = self.completed;
            self.report();
        }
    }

    fn report(&self) {
        self.reporter.report(Progress {
            status: self.status.clone(),
            digest: self.digest,
            total: self.total,
            completed: self.completed,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_meter_reports_start_strides_and_end() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let reporter =
            Reporter::new(move |progress| sink.lock().expect("no panic").push(progress.completed));
        let mut meter = reporter.meter("hashing", None, 9 << 20);
        for _ in 0..9 {
            meter.add(1 << 20);
        }
        assert_eq!(
            *seen.lock().expect("no panic"),
            [0, 4 << 20, 8 << 20, 9 << 20]
        );
    }
}
