//! The [`Modelfile`] value and its accessors.

use crate::instruction::{Instruction, Message};
use crate::parameter::Parameters;

/// A parsed Modelfile: its instructions in order.
///
/// Comments, blank lines and the quoting of values are not kept. Printing is the exact
/// inverse of parsing for every value that parsing can produce: at least one `FROM`, and no empty
/// `FROM`, `DRAFT`, `ADAPTER`, `RENDERER` or `PARSER`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Modelfile {
    /// The instructions in order.
    pub instructions: Vec<Instruction>,
}

impl Modelfile {
    /// Every base, as written. Several are the files of one model.
    pub fn from(&self) -> impl Iterator<Item = &str> {
        self.texts(|instruction| match instruction {
            Instruction::From(text) => Some(text),
            _ => None,
        })
    }

    /// Every draft model path, as written.
    pub fn drafts(&self) -> impl Iterator<Item = &str> {
        self.texts(|instruction| match instruction {
            Instruction::Draft(text) => Some(text),
            _ => None,
        })
    }

    /// Every adapter path, as written and in order.
    pub fn adapters(&self) -> impl Iterator<Item = &str> {
        self.texts(|instruction| match instruction {
            Instruction::Adapter(text) => Some(text),
            _ => None,
        })
    }

    /// Every licence text in order.
    pub fn licenses(&self) -> impl Iterator<Item = &str> {
        self.texts(|instruction| match instruction {
            Instruction::License(text) => Some(text),
            _ => None,
        })
    }

    /// The template: the last `TEMPLATE`.
    pub fn template(&self) -> Option<&str> {
        self.texts(|instruction| match instruction {
            Instruction::Template(text) => Some(text),
            _ => None,
        })
        .last()
    }

    /// The system prompt: the last `SYSTEM`. The empty text removes the base's.
    pub fn system(&self) -> Option<&str> {
        self.texts(|instruction| match instruction {
            Instruction::System(text) => Some(text),
            _ => None,
        })
        .last()
    }

    /// The renderer id: the last `RENDERER`.
    pub fn renderer(&self) -> Option<&str> {
        self.texts(|instruction| match instruction {
            Instruction::Renderer(text) => Some(text),
            _ => None,
        })
        .last()
    }

    /// The output parser id: the last `PARSER`.
    pub fn parser(&self) -> Option<&str> {
        self.texts(|instruction| match instruction {
            Instruction::Parser(text) => Some(text),
            _ => None,
        })
        .last()
    }

    /// The oldest version that can run the model: the last `REQUIRES`.
    pub fn requires(&self) -> Option<&semver::Version> {
        self.instructions
            .iter()
            .rev()
            .find_map(|instruction| match instruction {
                Instruction::Requires(version) => Some(version),
                _ => None,
            })
    }

    /// The example conversation in order. It replaces an inherited one as a whole.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.instructions
            .iter()
            .filter_map(|instruction| match instruction {
                Instruction::Message(message) => Some(message),
                _ => None,
            })
    }

    /// All `PARAMETER`s together: the lines of a list such as `stop` add up, for any other name the last line counts.
    pub fn parameters(&self) -> Parameters {
        self.instructions
            .iter()
            .filter_map(|instruction| match instruction {
                Instruction::Parameter(parameter) => Some(parameter.clone()),
                _ => None,
            })
            .collect()
    }

    fn texts(&self, pick: impl Fn(&Instruction) -> Option<&String>) -> impl Iterator<Item = &str> {
        self.instructions
            .iter()
            .filter_map(move |instruction| pick(instruction).map(String::as_str))
    }
}
