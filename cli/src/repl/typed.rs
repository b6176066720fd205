//! An entry at the prompt.

/// One input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A text of one or more lines.
    Text(String),
    /// Ctrl-C, which discards the typed text.
    CtrlC,
    /// Ctrl-D.
    CtrlD,
}
