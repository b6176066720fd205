//! Progress of pull, push, create, adopt, upload and verify.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use api::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{Output, clean};
use crate::text;

/// Shows [`Progress`] as bars, lines, JSON, or not at all.
#[derive(Debug)]
pub(crate) struct ProgressView {
    kind: ViewKind,
}

#[derive(Debug)]
enum ViewKind {
    /// A bar for each blob, on a terminal.
    Bars(Bars),
    /// A line for each stage, and for each 10 % of a blob, for a log.
    Lines(Lines),
    /// Every event as JSON.
    Json(Output),
    /// No progress.
    Silent,
}

impl ProgressView {
    pub(super) fn bars(all: MultiProgress, columns: Option<usize>) -> Self {
        let bars = Bars {
            all,
            // A third of the line for the label; the rest for the bar and its numbers.
            label: (columns.unwrap_or(80) / 3).clamp(16, 40),
            is_narrow: columns.is_some_and(|columns| columns < NARROW),
            of: HashMap::new(),
            step: None,
        };
        Self {
            kind: ViewKind::Bars(bars),
        }
    }

    pub(super) fn lines(out: Output) -> Self {
        Self {
            kind: ViewKind::Lines(Lines {
                out,
                last: String::new(),
                tenths: HashMap::new(),
            }),
        }
    }

    pub(super) fn json(out: Output) -> Self {
        Self {
            kind: ViewKind::Json(out),
        }
    }

    /// A view that shows nothing.
    pub(crate) fn silent() -> Self {
        Self {
            kind: ViewKind::Silent,
        }
    }

    /// Shows the next event.
    pub(crate) fn update(&mut self, event: &Progress) -> anyhow::Result<()> {
        match &mut self.kind {
            ViewKind::Bars(bars) => bars.update(event),
            ViewKind::Lines(lines) => lines.update(event),
            ViewKind::Json(out) => out.json_line(event)?,
            ViewKind::Silent => {}
        }
        Ok(())
    }
}

impl Drop for ProgressView {
    /// Clears the bars; the command reports the result.
    fn drop(&mut self) {
        if let ViewKind::Bars(bars) = &mut self.kind {
            bars.finish();
        }
    }
}

/// The blob, or the stage without a digest, that an event is about.
fn key(event: &Progress) -> String {
    event.digest.clone().unwrap_or_else(|| event.status.clone())
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    /// The width of labels in columns.
    label: usize,
    /// Whether there is no room for the rate.
    is_narrow: bool,
    of: HashMap<String, ProgressBar>,
    /// The current stage, if it has no size.
    step: Option<ProgressBar>,
}

impl Bars {
    fn update(&mut self, event: &Progress) {
        match event.total {
            Some(total) if total > 0 => self.advance(event, total),
            _ => self.step(&event.status),
        }
    }

    fn advance(&mut self, event: &Progress, total: u64) {
        self.end_step();
        let done = event.completed.unwrap_or(0).min(total);
        let (all, label, is_narrow) = (&self.all, self.label, self.is_narrow);
        let bar = self.of.entry(key(event)).or_insert_with(|| {
            let bar = all.add(ProgressBar::new(total));
            bar.set_style(style(label, is_narrow));
            bar.set_position(done);
            // Bytes from before this run count neither for the rate nor for the remaining time.
            bar.reset_eta();
            bar
        });
        bar.set_length(total);
        bar.set_message(shortened(&clean(&event.status), label));
        bar.set_position(done);
        if done == total && !bar.is_finished() {
            bar.finish();
        }
    }

    fn step(&mut self, status: &str) {
        let status = clean(status);
        if self
            .step
            .as_ref()
            .is_some_and(|bar| bar.message() == status)
        {
            return;
        }
        self.end_step();
        if status == "success" {
            return;
        }
        let bar = self.all.add(ProgressBar::new_spinner());
        bar.set_message(status);
        bar.enable_steady_tick(Duration::from_millis(100));
        self.step = Some(bar);
    }

    fn end_step(&mut self) {
        if let Some(bar) = self.step.take() {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }

    fn finish(&mut self) {
        self.end_step();
        for (_, bar) in self.of.drain() {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }
}

/// Columns below which a bar shows no rate.
const NARROW: usize = 72;

fn style(label: usize, is_narrow: bool) -> ProgressStyle {
    let rate = if is_narrow {
        ""
    } else {
        " {decimal_bytes_per_sec:>10}"
    };
    let template = format!(
        "{{msg:{label}}} {{percent:>3}}% {{wide_bar}} {{decimal_bytes:>9}}/{{decimal_total_bytes:9}}{rate} {{left:>6}}"
    );
    ProgressStyle::with_template(&template)
        .expect("the template is ours")
        .with_key("left", left)
        .progress_chars("━╸─")
}

/// The remaining time; empty without a rate, and at the end.
fn left(state: &ProgressState, text: &mut dyn fmt::Write) {
    let seconds = state.eta().as_secs_f64().ceil() as u64;
    if state.pos() == 0 || state.is_finished() || state.per_sec() <= 0.0 || seconds == 0 {
        return;
    }
    let _ = match seconds {
        0..60 => write!(text, "{seconds}s"),
        _ => text.write_str(&text::duration(Duration::from_secs(seconds))),
    };
}

/// The elapsed time, once it is two seconds.
pub(super) fn since(state: &ProgressState, text: &mut dyn fmt::Write) {
    let seconds = state.elapsed().as_secs();
    if seconds >= 2 {
        let _ = write!(text, " {seconds}s");
    }
}

/// The text cut to `columns`, with a mark at the cut.
fn shortened(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

#[derive(Debug)]
struct Lines {
    out: Output,
    last: String,
    tenths: HashMap<String, u64>,
}

impl Lines {
    fn update(&mut self, event: &Progress) {
        if let Some(line) = self.line(event) {
            self.out.note(&line);
        }
    }

    /// The next line: a new stage, or another 10 % of a blob.
    fn line(&mut self, event: &Progress) -> Option<String> {
        let Some(total) = event.total.filter(|&total| total > 0) else {
            // The command reports the success.
            if event.status == self.last || event.status == "success" {
                return None;
            }
            self.last.clone_from(&event.status);
            return Some(event.status.clone());
        };
        let done = event.completed.unwrap_or(0).min(total);
        let tenth = (u128::from(done) * 10 / u128::from(total)) as u64;
        let before = self.tenths.insert(key(event), tenth);
        if before == Some(tenth) {
            return None;
        }
        let (done, total) = (text::bytes(done), text::bytes(total));
        Some(format!(
            "{}: {}% ({done} of {total})",
            event.status,
            tenth * 10
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::OutputMode;

    fn event(status: &str, amounts: Option<(u64, u64)>) -> Progress {
        Progress {
            status: status.to_owned(),
            completed: amounts.map(|(completed, _)| completed),
            total: amounts.map(|(_, total)| total),
            ..Progress::default()
        }
    }

    #[test]
    fn a_log_gets_each_step_and_each_tenth_once() {
        let out = Output::new(OutputMode::default(), &[]);
        let mut lines = Lines {
            out,
            last: String::new(),
            tenths: HashMap::new(),
        };
        let shown: Vec<String> = [
            event("pulling manifest", None),
            event("pulling manifest", None),
            event("pulling b179", Some((0, 1000))),
            event("pulling b179", Some((50, 1000))),
            event("pulling b179", Some((510, 1000))),
            event("pulling b179", Some((1000, 1000))),
            event("success", None),
        ]
        .iter()
        .filter_map(|event| lines.line(event))
        .collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        pulling manifest
        pulling b179: 0% (0 B of 1.0 kB)
        pulling b179: 50% (510 B of 1.0 kB)
        pulling b179: 100% (1.0 kB of 1.0 kB)
        ");
    }

    #[test]
    fn long_words_are_cut_with_a_mark() {
        assert_eq!(shortened("pulling", 7), "pulling");
        assert_eq!(shortened("pulling it", 7), "pullin…");
        assert_eq!(shortened("模型模型", 7), "模型模…");
        assert_eq!(shortened("模型模型", 6), "模型…");
    }

    #[test]
    fn more_than_the_total_counts_as_the_total() {
        let out = Output::new(OutputMode::default(), &[]);
        let mut lines = Lines {
            out,
            last: String::new(),
            tenths: HashMap::new(),
        };
        let line = lines.line(&event("x", Some((u64::MAX, 10))));
        assert_eq!(line.as_deref(), Some("x: 100% (10 B of 10 B)"));
    }
}
