//! Whether a model thinks before it answers.

use registry::{Capability, Model};

use crate::error::Error;
use crate::requirements;
use crate::tools::quoted;

/// How hard a model can be asked to think, where its template knows levels.
pub const LEVELS: [&str; 4] = ["low", "medium", "high", "max"];

/// What a request says about thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// The model must not think.
    Off,
    /// The model thinks.
    On,
    /// The model thinks so hard: one of [`LEVELS`].
    Level(&'static str),
}

impl Effort {
    /// Reads a level.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a level that does not exist, in the name of `field`.
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

/// How one answer thinks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Think {
    /// On or off; `None` for a model that does not think, when the request says nothing.
    pub on: Option<bool>,
    /// The level, where the request gives one.
    pub level: Option<&'static str>,
    /// Whether the request says so; else it is the model's own habit.
    pub is_asked: bool,
}

impl Think {
    /// Joins what a request says with what the model does. A model that can think does so unless the request says no.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a model that cannot think.
    pub fn choose(asked: Option<Effort>, model: &Model) -> Result<Self, Error> {
        let thinks = model.capabilities.contains(&Capability::Thinking);
        let (on, level) = match asked {
            None => (thinks.then_some(true), None),
            Some(Effort::Off) => (Some(false), None),
            Some(Effort::On) => (Some(true), None),
            Some(Effort::Level(level)) => (Some(true), Some(level)),
        };
        let is_asked = asked.is_some();
        if is_asked && on == Some(true) && !requirements::may_have(model, Capability::Thinking) {
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
