//! The last words of a runner.
//!
//! What it writes to its standard error goes to our log at debug level, and the last lines are kept for the error that its end makes.
//! The lines are hostile: they are cut at [`MAX_LINE`] bytes, and control characters, which could steer a terminal, are replaced.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Lines that are kept.
const MAX_LINES: usize = 20;

/// Bytes of a line that are kept.
const MAX_LINE: usize = 512;

/// The last lines, while they come.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(
    /// Never held while anything else happens.
    Arc<Mutex<VecDeque<String>>>,
);

impl Tail {
    /// The lines so far, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .expect("nothing panics while it holds this lock")
            .iter()
            .cloned()
            .collect()
    }

    /// Reads until nobody can write any more.
    pub(super) async fn follow(self, mut input: impl AsyncRead + Unpin) {
        let mut chunk = [0; 4096];
        let mut line = Vec::new();
        // A pipe that cannot be read is as good as one that ended: these are only words.
        while let Ok(length @ 1..) = input.read(&mut chunk).await {
            for &byte in &chunk[..length] {
                match byte {
                    b'\n' => self.keep(&std::mem::take(&mut line)),
                    // One more than is kept, so that a cut shows.
                    _ if line.len() <= MAX_LINE => line.push(byte),
                    _ => {}
                }
            }
        }
        self.keep(&line);
    }

    fn keep(&self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        let line = clean(line);
        tracing::debug!(target: "runner::stderr", "{line}");
        let mut lines = self
            .0
            .lock()
            .expect("nothing panics while it holds this lock");
        if lines.len() == MAX_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// The line as text that is safe to show.
fn clean(line: &[u8]) -> String {
    let cut = line.len() > MAX_LINE;
    let kept = String::from_utf8_lossy(&line[..line.len().min(MAX_LINE)]);
    let mut text: String = kept
        .trim_end()
        .chars()
        .map(|char| {
            if char.is_control() && char != '\t' {
                char::REPLACEMENT_CHARACTER
            } else {
                char
            }
        })
        .collect();
    if cut {
        text.push('…');
    }
    text
}
