//! Input at the prompt: editing, history, several lines, completion of commands.

use std::path::{Path, PathBuf};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, Helper};

use super::command::{COMMANDS, is_open};
use super::echo::Quiet;
use super::lines::Lines;
use super::typed::Typed;
use crate::error::Failure;
use crate::fs::{self, Kind};
use crate::output::Output;
use crate::text;

/// Maximum number of lines in the history.
const MAX_HISTORY: usize = 1000;
/// The longest file of a history in bytes.
const MAX_BYTES: u64 = 16 << 20;
const PROMPT: &str = ">>> ";

/// The keyboard, and the file of the history.
pub(crate) struct Input {
    editor: Editor<Rules, FileHistory>,
    /// Lines of a plain terminal.
    lines: Option<Lines>,
    file: PathBuf,
    /// Whether typed lines go into the history.
    keep: bool,
}

impl Input {
    /// The terminal, with the history in `file`; `plain` for a terminal without control sequences.
    ///
    /// An unreadable history is no error: a warning on `out` names it, and no history is kept.
    pub(crate) fn new(file: &Path, plain: bool, out: &Output) -> anyhow::Result<Self> {
        let config = Config::builder()
            .auto_add_history(false)
            .max_history_size(MAX_HISTORY)?
            .history_ignore_dups(true)?
            .bracketed_paste(true)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Rules));
        let mut input = Self {
            editor,
            lines: plain.then(Lines::of_stdin),
            file: file.to_path_buf(),
            keep: true,
        };
        if let Err(failure) = input.open_history() {
            input.keep = false;
            out.warn(&format!("no history is kept: {failure}"));
        }
        Ok(input)
    }

    /// Turns the history on or off.
    ///
    /// # Errors
    /// The history cannot be opened; it is then off.
    pub(crate) fn keep_history(&mut self, keep: bool) -> Result<(), Failure> {
        let was_kept = std::mem::take(&mut self.keep);
        if keep && !was_kept {
            self.open_history()?;
        }
        self.keep = keep;
        Ok(())
    }

    /// Turns the echo off until the next read, or until the result is dropped.
    pub(crate) fn quiet(&self) -> Quiet {
        match self.lines {
            Some(_) => Quiet::for_lines(),
            None => Quiet::for_keys(),
        }
    }

    /// Waits for the next input. The editor blocks this thread, which has no other work.
    pub(crate) async fn read(&mut self, out: &Output) -> anyhow::Result<Typed> {
        let typed = match &mut self.lines {
            Some(lines) => lines.read(PROMPT, out).await?,
            None => self.edit()?,
        };
        if let Typed::Text(text) = &typed {
            self.remember(text, out);
        }
        Ok(typed)
    }

    fn edit(&mut self) -> Result<Typed, Failure> {
        match self.editor.readline(PROMPT) {
            Ok(text) => Ok(Typed::Text(text)),
            Err(ReadlineError::Interrupted) => Ok(Typed::CtrlC),
            Err(ReadlineError::Eof) => Ok(Typed::CtrlD),
            Err(error) => Err(Failure::new(format!(
                "cannot read from the terminal: {error}"
            ))),
        }
    }

    /// Creates the history if it is missing, and reads it.
    fn open_history(&mut self) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
        let shown = self.file.display();
        // Opening a FIFO could block for ever, and a longer file is no history of slm.
        match fs::kind(&self.file).map_err(|error| failed(&error))? {
            None | Some(Kind::File(0..=MAX_BYTES)) => {}
            Some(Kind::File(_)) => {
                let limit = text::bytes(MAX_BYTES);
                return Err(Failure::new(format!("`{shown}` is longer than {limit}")));
            }
            Some(_) => return Err(Failure::new(format!("`{shown}` is not a file"))),
        }
        if let Some(folder) = self.file.parent() {
            fs::make_private_folder(folder).map_err(|error| failed(&error))?;
        }
        // Created here, so that only this user can read it from its first byte on.
        drop(fs::append_private(&self.file).map_err(|error| failed(&error))?);
        self.editor
            .load_history(&self.file)
            .map_err(|error| Failure::new(format!("cannot read `{shown}`: {error}")))
    }

    /// Adds a line to the history and writes it at once, so that closing the window loses nothing.
    fn remember(&mut self, text: &str, out: &Output) {
        if text.trim().is_empty() || !self.keep {
            return;
        }
        let added = self.editor.add_history_entry(text).unwrap_or(false);
        if added && let Err(error) = self.editor.append_history(&self.file) {
            self.keep = false;
            let shown = self.file.display();
            out.warn(&format!(
                "no history is kept any more: cannot write `{shown}`: {error}"
            ));
        }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// The editor's rules: when an entry is complete, and the completions of a command.
struct Rules;

impl Validator for Rules {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_open(context.input()) {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

impl Completer for Rules {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, completions(line.get(..position).unwrap_or_default())))
    }
}

impl Hinter for Rules {
    type Hint = String;
}

impl Highlighter for Rules {}

impl Helper for Rules {}

/// The commands that start with `typed`, without their placeholders.
fn completions(typed: &str) -> Vec<String> {
    if !typed.starts_with('/') {
        return Vec::new();
    }
    COMMANDS
        .iter()
        .map(|(form, _)| {
            let fixed = form
                .split(' ')
                .take_while(|word| *word != word.to_uppercase() || *word == "/?");
            let whole = fixed.clone().count() == form.split(' ').count();
            let mut text = fixed.collect::<Vec<_>>().join(" ");
            if !whole {
                text.push(' ');
            }
            text
        })
        .filter(|command| command.starts_with(typed))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_complete() {
        assert_eq!(completions("/set p"), ["/set parameter "]);
        assert_eq!(completions("/c"), ["/clear"]);
        assert_eq!(completions("/l"), ["/load "]);
        assert_eq!(completions("hello"), Vec::<String>::new());
    }
}
