//! The progress lines of one operation or job, shared by its task and its listeners.

use std::sync::{Arc, Mutex, PoisonError};

use api::Progress;
use futures::Stream;
use tokio::sync::watch;

use crate::error::Error;

/// Most kept lines of one operation; the oldest are dropped first.
const LINES: usize = 4096;

/// The lines of one operation.
#[derive(Debug, Default)]
struct Log {
    /// Each line with the number of the report that changed it last.
    lines: Vec<(u64, Progress)>,
    reports: u64,
    end: Option<Result<Progress, Error>>,
}

impl Log {
    /// Replaces the line with the same status and digest, so that the counters of a blob are one line; else adds a line.
    fn add(&mut self, progress: Progress) {
        self.reports += 1;
        let same =
            |line: &Progress| line.status == progress.status && line.digest == progress.digest;
        match self.lines.iter_mut().rev().find(|(_, line)| same(line)) {
            Some(slot) => *slot = (self.reports, progress),
            None => self.lines.push((self.reports, progress)),
        }
        if self.lines.len() > LINES {
            self.lines.remove(0);
        }
    }
}

/// The lines of one operation and its end, with a channel that wakes listeners.
#[derive(Debug)]
pub(crate) struct Lines {
    log: Mutex<Log>,
    /// Counts reports, and wakes listeners.
    changes: watch::Sender<u64>,
}

impl Lines {
    /// No lines.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            log: Mutex::default(),
            changes: watch::channel(0).0,
        })
    }

    /// Adds or replaces a line.
    pub(crate) fn add(&self, progress: Progress) {
        self.change(|log| log.add(progress));
    }

    /// Removes the lines about job states, when the state changes.
    pub(crate) fn forget_states(&self) {
        self.change(|log| log.lines.retain(|(_, line)| line.state.is_none()));
    }

    /// Ends the lines. Only the first call has an effect.
    pub(crate) fn end(&self, end: Result<Progress, Error>) {
        self.change(|log| {
            log.end.get_or_insert(end);
        });
    }

    /// The number of listeners.
    pub(super) fn listeners(&self) -> usize {
        self.changes.receiver_count()
    }

    /// Waits until it has no listeners.
    pub(super) async fn without_listeners(&self) {
        self.changes.closed().await;
    }

    /// All lines, from the first to the end.
    pub(crate) fn listen(
        self: &Arc<Self>,
    ) -> impl Stream<Item = Result<Progress, Error>> + Send + use<> {
        let start = Listener {
            changes: self.changes.subscribe(),
            lines: self.clone(),
            seen: 0,
            ready: Vec::new(),
            over: false,
        };
        futures::stream::unfold(start, |mut listener| async move {
            let next = listener.next().await?;
            Some((next, listener))
        })
    }

    fn change(&self, change: impl FnOnce(&mut Log)) {
        // The lock protects the lines; no change can panic half-way.
        change(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_modify(|count| *count += 1);
    }
}

struct Listener {
    lines: Arc<Lines>,
    changes: watch::Receiver<u64>,
    /// Number of the last report that was returned.
    seen: u64,
    /// Lines to return, last first.
    ready: Vec<Result<Progress, Error>>,
    over: bool,
}

impl Listener {
    async fn next(&mut self) -> Option<Result<Progress, Error>> {
        loop {
            if let Some(line) = self.ready.pop() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            self.changes.mark_unchanged();
            self.collect();
            if self.ready.is_empty() && !self.over && self.changes.changed().await.is_err() {
                return None;
            }
        }
    }

    fn collect(&mut self) {
        let log = self
            .lines
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let new = log.lines.iter().filter(|(at, _)| *at > self.seen);
        let mut lines: Vec<_> = new.cloned().collect();
        lines.sort_by_key(|(at, _)| *at);
        self.seen = log.reports;
        self.ready = lines.into_iter().map(|(_, line)| Ok(line)).collect();
        if let Some(end) = &log.end {
            self.ready.push(end.clone());
            self.over = true;
        }
        self.ready.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_one_blob_are_one_line() {
        let mut log = Log::default();
        let line = |status: &str, completed| Progress {
            status: status.into(),
            completed: Some(completed),
            ..Progress::default()
        };
        log.add(line("pulling a", 1));
        log.add(line("pulling b", 1));
        log.add(line("pulling a", 2));
        assert_eq!(
            log.lines,
            [(3, line("pulling a", 2)), (2, line("pulling b", 1))]
        );
    }
}
