//! Classifies the output of pip.
//!
//! Pip has one exit status for every failure, so its messages are parsed. They have been stable for years;
//! an unknown message becomes a general error that quotes it.

use std::collections::VecDeque;

/// The lines that are kept.
const LINES: usize = 20;
/// The longest line that is kept, in bytes.
const LONGEST: usize = 400;

/// The last lines of pip on standard output and standard error.
#[derive(Debug, Default)]
pub(super) struct PipOutput {
    lines: VecDeque<String>,
}

impl PipOutput {
    /// Adds a line.
    pub(super) fn add(&mut self, line: &[u8]) {
        let line = &line[..line.len().min(LONGEST)];
        let line = String::from_utf8_lossy(line);
        let line: String = line
            .trim_end()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if line.trim().is_empty() {
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// There is a Python, but no pip in it.
    pub(super) fn is_pip_missing(&self) -> bool {
        self.has(&["No module named pip", "command not found"])
    }

    /// The package did not fit on the disk.
    pub(super) fn is_out_of_space(&self) -> bool {
        self.has(&[
            "No space left on device",
            "[Errno 28]",
            "Disk quota exceeded",
        ])
    }

    /// The index could not be asked.
    pub(super) fn is_offline(&self) -> bool {
        self.has(&[
            "NewConnectionError",
            "NameResolutionError",
            "ConnectTimeoutError",
            "ReadTimeoutError",
            "ProxyError",
            "Failed to establish a new connection",
            "Network is unreachable",
            "Connection refused",
        ])
    }

    /// The index was asked, and has no such thing.
    pub(super) fn is_not_found(&self) -> bool {
        self.has(&[
            "No matching distribution found",
            "Could not find a version that satisfies",
        ])
    }

    /// The last line that says what went wrong, or the last line at all.
    pub(super) fn last(&self) -> String {
        let error = self.lines.iter().rev().find(|line| line.contains("ERROR"));
        let last = error.or(self.lines.back());
        last.map_or_else(|| "it said nothing".to_owned(), Clone::clone)
    }

    fn has(&self, words: &[&str]) -> bool {
        self.lines
            .iter()
            .any(|line| words.iter().any(|word| line.contains(word)))
    }
}

/// The number of bytes that a line like `Downloading x.whl (92.9 MB)` announces, about.
pub(super) fn announced(line: &str) -> Option<u64> {
    let rest = line.trim().strip_prefix("Downloading ")?;
    let (_, size) = rest.strip_suffix(')')?.rsplit_once('(')?;
    let (number, unit) = size.split_once(' ')?;
    let number: f64 = number.parse().ok()?;
    let unit = match unit {
        "bytes" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };
    let bytes = number * unit;
    (0.0..1e15).contains(&bytes).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> PipOutput {
        let mut output = PipOutput::default();
        text.lines().for_each(|line| output.add(line.as_bytes()));
        output
    }

    #[test]
    fn offline_is_told_from_not_found() {
        let offline = said(
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)': /simple/x/\n\
             ERROR: Could not find a version that satisfies the requirement x==1 (from versions: none)\n\
             ERROR: No matching distribution found for x==1",
        );
        assert!(offline.is_offline());
        let unknown =
            said("ERROR: No matching distribution found for x==1\n[notice] A new release is out\n");
        assert!(unknown.is_not_found() && !unknown.is_offline());
        assert_eq!(
            unknown.last(),
            "ERROR: No matching distribution found for x==1"
        );
    }

    #[test]
    fn only_the_end_of_much_talk_is_kept_and_nothing_steers_a_terminal() {
        let mut much = PipOutput::default();
        for number in 0..1000 {
            much.add(format!("line {number} \x1b[31m{}", "x".repeat(1000)).as_bytes());
        }
        assert_eq!(much.lines.len(), LINES);
        assert!(much.last().starts_with("line 999  [31m") && much.last().len() <= LONGEST);
        assert_eq!(PipOutput::default().last(), "it said nothing");
    }

    #[test]
    fn the_announced_size_is_understood() {
        assert_eq!(
            announced("  Downloading a-1.whl (92.9 MB)"),
            Some(92_900_000)
        );
        assert_eq!(announced("Downloading a-1.whl (12 kB)"), Some(12_000));
        for line in [
            "Downloading a-1.whl",
            "Saved ./a-1.whl",
            "Downloading (x MB)",
            "Downloading a (1e99 GB)",
            "Downloading a (-1 MB)",
        ] {
            assert_eq!(announced(line), None, "{line}");
        }
    }
}
