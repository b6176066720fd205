//! The grammar of a chat template for answers that call tools, and the markup of its thinking.

use super::Calls;

/// The grammar of answers that call tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grammar {
    /// GBNF. Its rule `root` is the turn of the assistant with the generation prompt (see [`Applied`]);
    /// with triggers, it is the text from a trigger on, with the trigger.
    pub(crate) gbnf: String,
    /// The same in a form that takes less memory and time, without text before required calls.
    /// `None` if it has no such form.
    pub(crate) calls: Option<Calls>,
    /// Where the grammar begins. Empty if it begins with the answer.
    pub(crate) triggers: Vec<Trigger>,
}

/// Where a grammar begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A text, which may be one control token.
    Word(String),
    /// A regular expression of ECMAScript for a part of the answer; the grammar begins at its first group that matches.
    Pattern(String),
    /// The same, for the whole answer so far.
    WholePattern(String),
}

/// The markup around thinking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Thinking {
    /// The text that starts thinking.
    pub(crate) start: String,
    /// The texts that end thinking.
    pub(crate) ends: Vec<String>,
}
