//! Standard error of a runner.
//!
//! Its lines go to the daemon's log at debug level, and the last ones become part of the error when the runner ends.
//! The lines are hostile: they are cut at [`MAX_LINE`] bytes, and control characters are replaced, which could control a terminal.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Most lines that are kept.
const MAX_LINES: usize = 20;

/// Most bytes of a line that are kept.
const MAX_LINE: usize = 512;

/// The last lines so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(
    /// Held only to read or add lines.
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

    /// Reads until the last writer closes the pipe.
    pub(super) async fn follow(self, mut input: impl AsyncRead + Unpin) {
        let mut chunk = [0; 4096];
        let mut line = Vec::new();
        // A pipe that fails counts as one that ended.
        while let Ok(length @ 1..) = input.read(&mut chunk).await {
            for &byte in &chunk[..length] {
                match byte {
                    b'\n' => self.keep(&std::mem::take(&mut line)),
                    // One byte more than is kept, so that a cut is noticed.
                    _ if line.len() <= MAX_LINE => line.push(byte),
                    _ => {}
                }
            }
        }
        self.keep(&line);
    }

    fn keep(&self, line: &[u8]) {
        let line = clean(line);
        if line.is_empty() {
            return;
        }
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

/// The line as text that is safe in a terminal.
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn follow(text: &[u8]) -> Vec<String> {
        let tail = Tail::default();
        tail.clone().follow(text).await;
        tail.lines()
    }

    #[tokio::test]
    async fn only_the_last_lines_are_kept() {
        let text: String = (1..=30).map(|number| format!("line {number}\n")).collect();
        let lines = follow(text.as_bytes()).await;
        assert_eq!(lines.len(), MAX_LINES);
        assert_eq!(
            (lines[0].as_str(), lines[19].as_str()),
            ("line 11", "line 30")
        );
    }

    #[tokio::test]
    async fn a_line_without_an_end_counts_and_an_empty_one_does_not() {
        assert_eq!(follow(b"one\n\n\r\ntwo").await, ["one", "two"]);
    }

    #[tokio::test]
    async fn a_long_line_is_cut_and_shows_it() {
        let lines = follow("x".repeat(10_000).as_bytes()).await;
        assert_eq!(lines, [format!("{}…", "x".repeat(MAX_LINE))]);
        assert_eq!(follow(&[b'x'; MAX_LINE]).await, ["x".repeat(MAX_LINE)]);
    }

    #[tokio::test]
    async fn control_characters_are_replaced() {
        assert_eq!(
            follow(b"\x1b[2J\xff\tok\x07\r\n").await,
            ["\u{fffd}[2J\u{fffd}\tok\u{fffd}"]
        );
    }
}
