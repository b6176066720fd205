//! The only file that prints.
//!
//! Standard output gets the result, standard error everything else: progress, notes, errors.
//! Foreign text (of models, licences, the daemon) passes [`clean()`] on its way to a terminal.

mod clean;
mod paragraph;
mod progress;
mod table;
mod wrap;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use api::ErrorBody;
use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::OwoColorize as _;
use serde::Serialize;

pub(crate) use self::clean::clean;
pub(crate) use self::paragraph::definitions;
use self::paragraph::paragraph;
pub(crate) use self::progress::ProgressView;
pub(crate) use self::table::{Cell, Shrink, Table, section};
pub(crate) use self::wrap::Wrap;
use crate::env::{self, Environment};
use crate::error::{Failure, ReaderGone, Report};

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always, in files and pipes too.
    Always,
    /// Never.
    Never,
}

/// How much is printed, and in which format.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OutputMode {
    /// JSON and nothing else.
    pub(crate) json: bool,
    /// Only the result.
    pub(crate) quiet: bool,
    /// When to use colours.
    pub(crate) color: Color,
}

/// Standard output and standard error, with the kinds of their targets.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    stdout: Stream,
    stderr: Stream,
    /// Bars and spinners on standard error; messages meanwhile go above them.
    moving: MultiProgress,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    terminal: bool,
    color: bool,
}

impl Output {
    /// Finds out what the two streams are connected to.
    pub(crate) fn new(mode: OutputMode, environment: &dyn Environment) -> Self {
        let plain = environment.value(env::NO_COLOR).is_some()
            || environment
                .value(env::TERM)
                .is_some_and(|term| term == "dumb");
        let stream = |terminal: bool| Stream {
            terminal,
            color: match mode.color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => terminal && !plain,
            },
        };
        let stderr = stream(io::stderr().is_terminal());
        let target = if stderr.terminal && !mode.json && !mode.quiet {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            json: mode.json,
            quiet: mode.quiet,
            stdout: stream(io::stdout().is_terminal()),
            stderr,
            moving: MultiProgress::with_draw_target(target),
        }
    }

    /// Whether the output is JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether standard output is a terminal for a person.
    pub(crate) fn is_terminal(&self) -> bool {
        self.stdout.terminal && !self.json
    }

    /// Columns of the terminal; `None` without a terminal or a width.
    pub(crate) fn width(&self) -> Option<usize> {
        self.stdout
            .terminal
            .then(|| columns(io::stdout()))
            .flatten()
    }

    /// Prints text to standard output verbatim, without buffering.
    pub(crate) fn print(&self, text: &str) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        let done = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        done.map_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                ReaderGone.into()
            } else {
                Failure::new(format!("cannot write to standard output: {error}")).into()
            }
        })
    }

    /// Prints a foreign line to standard output, cleaned on a terminal.
    pub(crate) fn line(&self, text: &str) -> anyhow::Result<()> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let text = if self.stdout.terminal {
            clean(text)
        } else {
            text.to_owned()
        };
        self.print(&format!("{text}{end}"))
    }

    /// Prints one JSON value in one line to standard output.
    pub(crate) fn json_line(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(value)?;
        text.push('\n');
        self.print(&text)
    }

    /// Prints one JSON document to standard output, for the end of a command.
    pub(crate) fn json_document(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        self.print(&text)
    }

    /// Prints a note on standard error, except with `--json` or `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.json && !self.quiet {
            self.tell(&self.fitted(&clean(text), ""));
        }
    }

    /// Prints a requested addition to the answer, such as timings, on standard error.
    pub(crate) fn say(&self, text: &str) {
        self.tell(&clean(text));
    }

    /// Prints a warning on standard error, except with `--json`.
    pub(crate) fn warn(&self, text: &str) {
        if !self.json {
            let label = "warning:";
            self.labelled(label, label.yellow().bold(), text);
        }
    }

    /// Prints an error.
    pub(crate) fn report(&self, report: &Report) {
        let Some(body) = &report.body else { return };
        if self.json {
            let text = serde_json::to_string(body).unwrap_or_else(|_| body.error.clone());
            self.tell(&text);
            return;
        }
        let ErrorBody { error, hint, .. } = body;
        let (label, hint_label) = ("error:", "hint:");
        self.labelled(label, label.red().bold(), error);
        if let Some(hint) = hint {
            self.labelled(hint_label, hint_label.cyan().bold(), hint);
        }
    }

    /// Prints a mistake in the command line with clap's message.
    pub(crate) fn usage(&self, error: &clap::Error) {
        let words = error.render();
        let text = if self.stderr.color {
            words.ansi().to_string()
        } else {
            words.to_string()
        };
        self.tell(&self.fitted(&text, "  "));
    }

    /// Prints a label, coloured if colours are on, and a text.
    fn labelled(&self, label: &str, coloured: impl std::fmt::Display, text: &str) {
        let text = self.fitted(&format!("{label} {}", clean(text)), "  ");
        match text.strip_prefix(label) {
            Some(rest) if self.stderr.color => self.tell(&format!("{coloured}{rest}")),
            _ => self.tell(&text),
        }
    }

    /// The text wrapped to the width of standard error, if that is a terminal.
    fn fitted(&self, text: &str, indent: &str) -> String {
        let columns = self
            .stderr
            .terminal
            .then(|| columns(io::stderr()))
            .flatten();
        paragraph(text, columns, indent)
    }

    /// A paragraph for standard output, cleaned and wrapped on a terminal; further lines begin with `indent`.
    pub(crate) fn paragraph(&self, text: &str, indent: &str) -> String {
        match self.width() {
            Some(columns) => paragraph(&clean(text), Some(columns), indent),
            None => text.to_owned(),
        }
    }

    /// A heading, bold if colours are on.
    pub(crate) fn heading(&self, text: &str) -> String {
        if self.stdout.color {
            text.bold().to_string()
        } else {
            text.to_owned()
        }
    }

    /// Secondary text, dimmed if colours are on.
    pub(crate) fn aside(&self, text: &str) -> String {
        if self.stdout.color {
            text.dimmed().to_string()
        } else {
            text.to_owned()
        }
    }

    /// A spinner with the elapsed time on standard error, until it is dropped.
    pub(crate) fn spinner(&self, label: &str) -> Spinner {
        let bar = self.moving.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{spinner} {msg}{since}")
            .expect("the template is ours")
            .with_key("since", progress::since)
            .tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "]);
        bar.set_style(style);
        bar.set_message(clean(label));
        bar.enable_steady_tick(Duration::from_millis(100));
        Spinner {
            bar,
            moving: self.moving.clone(),
        }
    }

    /// Whether progress is shown as bars, on a terminal.
    pub(crate) fn shows_bars(&self) -> bool {
        !self.json && !self.quiet && self.stderr.terminal
    }

    /// A view of the progress of one operation.
    pub(crate) fn progress(&self) -> ProgressView {
        if self.json {
            ProgressView::json(self.clone())
        } else if self.quiet {
            ProgressView::silent()
        } else if self.stderr.terminal {
            ProgressView::bars(self.moving.clone(), columns(io::stderr()))
        } else {
            ProgressView::lines(self.clone())
        }
    }

    /// A line on standard error. A closed standard error is no failure.
    fn tell(&self, text: &str) {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.moving.suspend(|| {
            let _ = write!(io::stderr().lock(), "{text}{end}");
        });
    }
}

/// Columns of a terminal, if it tells them.
fn columns(terminal: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// A spinner, cleared when it is dropped.
#[derive(Debug)]
pub(crate) struct Spinner {
    bar: ProgressBar,
    moving: MultiProgress,
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.moving.remove(&self.bar);
    }
}
