//! Reads what is typed: editing, history, several lines, completion of commands.

use std::path::{Path, PathBuf};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, Helper};

use super::command::{COMMANDS, is_open};
use crate::error::Failure;
use crate::fs;

/// Lines of history that are kept.
const MAX_HISTORY: usize = 1000;
const PROMPT: &str = ">>> ";

/// What came from the keyboard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A text, perhaps of several lines.
    Text(String),
    /// Ctrl-C, which throws away what was typed.
    CtrlC,
    /// Ctrl-D.
    CtrlD,
}

/// The keyboard, and the file that remembers what was typed.
pub(crate) struct Input {
    editor: Editor<Rules, FileHistory>,
    history: PathBuf,
    keep: bool,
}

impl Input {
    /// The terminal, with the history in the file `history`.
    pub(crate) fn new(history: &Path) -> anyhow::Result<Self> {
        let config = Config::builder()
            .auto_add_history(false)
            .max_history_size(MAX_HISTORY)?
            .history_ignore_dups(true)?
            .bracketed_paste(true)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Rules));
        if let Some(folder) = history.parent() {
            fs::make_private_folder(folder)?;
        }
        // Made here, so that it is nobody else's to read from its first byte on.
        drop(fs::append_private(history)?);
        // A history that cannot be read is no reason not to talk.
        let _ = editor.load_history(history);
        Ok(Self {
            editor,
            history: history.to_path_buf(),
            keep: true,
        })
    }

    /// Whether what is typed from now on is remembered.
    pub(crate) fn keep_history(&mut self, keep: bool) {
        self.keep = keep;
    }

    /// Waits for the next entry. It blocks this thread, which has nothing else to do meanwhile.
    pub(crate) fn read(&mut self) -> Result<Typed, Failure> {
        match self.editor.readline(PROMPT) {
            Ok(text) => {
                self.remember(&text);
                Ok(Typed::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::CtrlC),
            Err(ReadlineError::Eof) => Ok(Typed::CtrlD),
            Err(error) => Err(Failure::new(format!(
                "cannot read from the terminal: {error}"
            ))),
        }
    }

    /// Each entry is written at once, so a window that is closed loses nothing.
    fn remember(&mut self, text: &str) {
        if !self.keep || text.trim().is_empty() {
            return;
        }
        if self.editor.add_history_entry(text).unwrap_or(false) {
            let _ = self.editor.append_history(&self.history);
        }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

/// When an entry is complete, and how a command goes on.
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

/// Commands that begin so, without the words that stand for something.
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
