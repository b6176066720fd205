//! Messages of `cargo xtask`: plain lines without colour, fit for a log.

use std::io::Write;
use std::time::Duration;

/// Prints one line.
///
/// A closed pipe is no error: the task continues without its report.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Prints a line that stands out between the output of other programs.
pub fn title(text: &str) {
    line(&format!("== {text} =="));
}

/// Prints the error of a task with its causes to standard error.
pub fn failure(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
}

/// A duration for people: `0.8 s`, `12.0 s`, `3 min 05 s`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well_below_and_above_a_minute() {
        assert_eq!(duration(Duration::from_millis(810)), "0.8 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 05 s");
    }
}
