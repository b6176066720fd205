//! Whether a model thinks before it answers.

use registry::{Capability, Model};

use crate::error::Error;
use crate::requirements;
use crate::tools::quoted;

/// Levels of thinking, for templates that support levels.
pub const LEVELS: [&str; 4] = ["low", "medium", "high", "max"];

/// The thinking that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// No thinking.
    Off,
    /// Thinking.
    On,
    /// Thinking at one of [`LEVELS`].
    Level(&'static str),
}

impl Effort {
    /// Reads a level.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown level, with the name of the field.
    pub fn level(field: &str, text: &str) -> Result<Self, Error> {
        let level = LEVELS.into_iter().find(|level| *level == text);
        level.map(Self::Level).ok_or_else(|| {
            Error::Invalid(format!(
                "{field} {} must be true, false or one of {}",
                quoted(text),
                LEVELS.join(", ")
            ))
        })
    }
}

/// Whether and how the model thinks in one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Think {
    /// On or off; `None` if the model does not think and the request does not mention it.
    pub on: Option<bool>,
    /// The level, if the request has one.
    pub level: Option<&'static str>,
    /// Whether the request asks for it; otherwise it is the model's default.
    pub is_asked: bool,
}

impl Think {
    /// Joins the request with the model's default: a model that can think thinks, unless the request turns it off.
    ///
    /// A model that cannot think ignores a request that is optional.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a model that cannot think.
    pub fn choose(asked: Option<Effort>, is_optional: bool, model: &Model) -> Result<Self, Error> {
        let thinks = model.capabilities.contains(&Capability::Thinking);
        let may_think = requirements::may_have(model, Capability::Thinking);
        let asked = asked.filter(|_| may_think || !is_optional);
        let (on, level) = match asked {
            None => (thinks.then_some(true), None),
            Some(Effort::Off) => (Some(false), None),
            Some(Effort::On) => (Some(true), None),
            Some(Effort::Level(level)) => (Some(true), Some(level)),
        };
        let is_asked = asked.is_some();
        if is_asked && on == Some(true) && !may_think {
            return Err(Error::Invalid(format!(
                "'{}' does not support thinking: its template has no place for thoughts",
                model.name
            )));
        }
        Ok(Self {
            on,
            level,
            is_asked,
        })
    }
}
