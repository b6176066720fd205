//! The only file that reads the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::fs;

/// Address of the daemon.
pub(crate) const SLM_HOST: &str = "SLM_HOST";
/// Folder that holds the daemon's socket, its log and the history of prompts.
pub(crate) const SLM_HOME: &str = "SLM_HOME";
/// Path of the daemon's Unix socket, if it is not the home's.
pub(crate) const SLM_SOCKET: &str = "SLM_SOCKET";
/// Any value turns colours off.
pub(crate) const NO_COLOR: &str = "NO_COLOR";
/// `dumb` is a terminal without colours.
pub(crate) const TERM: &str = "TERM";
/// Names of terminals without control sequences, as in the line editor's library.
const PLAIN_TERMINALS: [&str; 3] = ["dumb", "cons25", "emacs"];
/// The user's home folder, for `~`.
pub(crate) const HOME: &str = "HOME";
/// The user's editor for a terminal.
pub(crate) const VISUAL: &str = "VISUAL";
/// The user's editor.
pub(crate) const EDITOR: &str = "EDITOR";
/// Folders with programs.
const PATH: &str = "PATH";

/// Variables for the reference page, with their meaning.
pub(crate) const DOCUMENTED: [(&str, &str); 6] = [
    (SLM_HOST, "Address of the daemon, as for `--host`."),
    (
        SLM_HOME,
        "Folder of the models, the socket, the log and the history, as for `--home`.",
    ),
    (
        SLM_SOCKET,
        "Path of the Unix socket of the home's daemon, as for `slmd --socket`.",
    ),
    (NO_COLOR, "If set, `--color auto` means `never`."),
    (VISUAL, "The editor of `slm config edit`."),
    (EDITOR, "The same, if VISUAL is not set."),
];

/// A source of variables; in tests, a table.
pub(crate) trait Environment {
    /// The value of `name`; `None` when it is unset.
    fn get(&self, name: &str) -> Option<OsString>;

    /// The value of `name`; an empty one counts as unset.
    fn value(&self, name: &str) -> Option<OsString> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

/// The environment of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process;

impl Environment for Process {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one file that reads it"
    )]
    fn get(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

/// The user's home folder, if there is one.
pub(crate) fn home_folder(environment: &dyn Environment) -> Option<PathBuf> {
    environment.value(HOME).map(PathBuf::from)
}

/// The path of a program, as a shell finds it.
pub(crate) fn program_on_path(environment: &dyn Environment, program: &str) -> Option<PathBuf> {
    let folders = environment.value(PATH)?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|path| fs::is_executable(path))
}

/// Whether the terminal is a plain one without control sequences.
pub(crate) fn is_plain_terminal(environment: &dyn Environment) -> bool {
    environment.value(TERM).is_some_and(|term| {
        PLAIN_TERMINALS
            .iter()
            .any(|plain| term.eq_ignore_ascii_case(plain))
    })
}

/// A path as typed: `~/` starts at the user's home folder.
pub(crate) fn typed_path(typed: &str, home: Option<&Path>) -> PathBuf {
    match (typed.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(typed),
    }
}

#[cfg(test)]
impl<const N: usize> Environment for [(&str, &str); N] {
    fn get(&self, name: &str) -> Option<OsString> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| OsString::from(value))
    }
}
