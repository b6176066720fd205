//! What a chat template demands of an answer that calls tools, and where its thoughts stand.

use super::Calls;

/// What a model that calls tools must keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grammar {
    /// GBNF. Its rule `root` is what the assistant writes, the generation prompt (see [`Applied`]) included;
    /// where there are triggers, it is what may stand from a trigger on, the trigger included.
    pub(crate) gbnf: String,
    /// The same in a form that takes less room and time, with no text before calls that must come.
    /// `None` where it cannot be said so.
    pub(crate) calls: Option<Calls>,
    /// Where it begins to hold. Empty when it holds from the start.
    pub(crate) triggers: Vec<Trigger>,
}

/// Where a grammar begins to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A text that may be one control token.
    Word(String),
    /// A regular expression of ECMAScript for any part of the answer, which holds from the first group that matches.
    Pattern(String),
    /// The same, for the whole answer so far.
    WholePattern(String),
}

/// The markup around thoughts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Thinking {
    /// Begins them.
    pub(crate) start: String,
    /// Each of these ends them.
    pub(crate) ends: Vec<String>,
}
