//! Lines from a terminal without control sequences, such as one in an editor (`TERM=dumb`).

use std::io::{self, BufRead as _};

use tokio::sync::mpsc;

use super::command::is_open;
use super::typed::Typed;
use crate::error::Failure;
use crate::interrupt::ctrl_c;
use crate::output::Output;

/// Maximum number of lines typed ahead.
const AHEAD: usize = 64;

/// Lines of standard input.
#[derive(Debug)]
pub(super) struct Lines {
    lines: mpsc::Receiver<io::Result<String>>,
}

impl Lines {
    /// Starts to read standard input on a thread, because a read cannot be cancelled.
    pub(super) fn of_stdin() -> Self {
        let (sender, lines) = mpsc::channel(AHEAD);
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines() {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines }
    }

    /// The next input. Ctrl-C discards the lines of an incomplete entry; the terminal discards the current line.
    pub(super) async fn read(&mut self, prompt: &str, out: &Output) -> anyhow::Result<Typed> {
        let pressed = ctrl_c();
        tokio::pin!(pressed);
        out.print(prompt)?;
        let mut text = String::new();
        loop {
            let line = tokio::select! {
                biased;
                () = &mut pressed => {
                    out.print("\n")?;
                    return Ok(Typed::CtrlC);
                }
                line = self.lines.recv() => line,
            };
            match line {
                Some(Ok(line)) => text.push_str(&line),
                Some(Err(error)) => {
                    let message = format!("cannot read from the terminal: {error}");
                    return Err(Failure::new(message).into());
                }
                None => {
                    out.print("\n")?;
                    return Ok(Typed::CtrlD);
                }
            }
            if !is_open(&text) {
                return Ok(Typed::Text(text));
            }
            text.push('\n');
        }
    }
}
