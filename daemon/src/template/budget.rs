//! The budget of a rendering: work, time and output.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use gotmpl::{TemplateError, Value};
use rustix::time::{ClockId, clock_gettime};

use super::{MAX_OUTPUT, MAX_TIME};

/// Maximum number of bodies (of `range`, `if` and the like) that a rendering enters; an ordinary template enters a few per message.
pub(super) const STEPS: u64 = 1_000_000;

/// Maximum work of a rendering, in bytes of text that pass through functions.
const WORK: u64 = 64 << 20;

/// Work of entering a body.
const WORK_PER_STEP: u64 = WORK / STEPS;

/// The exceeded limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Excess {
    /// The output is too long.
    Text = 1,
    /// The work or the time is used up.
    Work = 2,
}

/// The budget of one rendering, which all functions of the template share.
#[derive(Debug)]
pub(super) struct Budget {
    start: Duration,
    work: AtomicU64,
    excess: AtomicU8,
}

impl Budget {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: thread_time(),
            work: AtomicU64::new(0),
            excess: AtomicU8::new(0),
        })
    }

    /// The limit that was exceeded first, if any.
    pub(super) fn excess(&self) -> Option<Excess> {
        match self.excess.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Excess::Text),
            _ => Some(Excess::Work),
        }
    }

    fn exceed(&self, excess: Excess) {
        let _ = self
            .excess
            .compare_exchange(0, excess as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Charges the work of entering a body.
    pub(super) fn step(&self) -> Result<(), TemplateError> {
        self.spend(WORK_PER_STEP)
    }

    /// Charges this many bytes. Fails when the work or the time is used up.
    pub(super) fn spend(&self, bytes: u64) -> Result<(), TemplateError> {
        let before = self.work.fetch_add(bytes, Ordering::Relaxed);
        let total = before.saturating_add(bytes);
        // The clock is read each time that this much work was charged.
        const CLOCK_STEP: u64 = 64 * WORK_PER_STEP;
        let late = before / CLOCK_STEP != total / CLOCK_STEP
            && thread_time().saturating_sub(self.start) > MAX_TIME;
        if total > WORK || late {
            self.exceed(Excess::Work);
            return Err(TemplateError::Exec("too much work".into()));
        }
        Ok(())
    }

    /// The writer for the output.
    pub(super) fn writer(self: &Arc<Self>) -> Writer {
        Writer {
            text: String::new(),
            budget: self.clone(),
        }
    }
}

/// CPU time of this thread. Waiting for a CPU does not count, so templates do not fail on a busy machine.
pub(super) fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

/// Collects the output, at most [`MAX_OUTPUT`] bytes.
pub(super) struct Writer {
    text: String,
    budget: Arc<Budget>,
}

impl Writer {
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl fmt::Write for Writer {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.text.len() + piece.len() > MAX_OUTPUT {
            self.budget.exceed(Excess::Text);
            return Err(fmt::Error);
        }
        self.text.push_str(piece);
        Ok(())
    }
}

/// The cost of passing a value to a function: the bytes of a text, because texts are copied and compared; the number of items of a list
/// or of members of a map; 1 for any other value.
pub(super) fn passed_size(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::List(items) => items.len() as u64,
        Value::Map(members) => members.len() as u64,
        _ => 1,
    }
}

/// A lower bound of the bytes of a printed value; stops counting soon after `limit`.
pub(super) fn printed_size(value: &Value, limit: u64) -> u64 {
    let mut total = 0u64;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        total += 8;
        match value {
            Value::String(text) => total += text.len() as u64,
            Value::List(items) => open.extend(items.iter()),
            Value::Map(members) => {
                for (key, member) in members.iter() {
                    total += key.len() as u64;
                    open.push(member);
                }
            }
            _ => {}
        }
        if total > limit {
            break;
        }
    }
    total
}
