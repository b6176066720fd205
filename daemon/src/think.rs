//! Whether a model thinks before it answers.

use api::Think as Asked;
use registry::{Capability, Model};

use crate::error::Error;

/// How hard a model can be asked to think, where its template knows degrees.
const LEVELS: [&str; 4] = ["low", "medium", "high", "max"];

/// What is asked of a model's thoughts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Think {
    /// On or off; `None` for a model that does not think, when nobody said anything.
    pub on: Option<bool>,
    /// How hard, where somebody said so.
    pub level: Option<&'static str>,
    /// Whether the request said so, and not the habit of the model.
    pub is_asked: bool,
}

impl Think {
    /// Reads what a request asks of a model. A model that thinks does so unless it is told not to.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a level that does not exist, and for thoughts of a model that has none.
    pub fn choose(asked: Option<&Asked>, model: &Model) -> Result<Self, Error> {
        // Of a model whose weights could not be read nothing is known.
        let capabilities = &model.capabilities;
        let thinks = capabilities.contains(&Capability::Thinking);
        let (on, level) = match asked {
            None => (thinks.then_some(true), None),
            Some(Asked::Switch(on)) => (Some(*on), None),
            Some(Asked::Level(text)) => (Some(true), Some(level(text)?)),
        };
        if asked.is_some() && on == Some(true) && !thinks && !capabilities.is_empty() {
            return Err(Error::Invalid(format!(
                "'{}' does not support thinking: its template has no place for thoughts",
                model.name
            )));
        }
        Ok(Self {
            on,
            level,
            is_asked: asked.is_some(),
        })
    }
}

fn level(text: &str) -> Result<&'static str, Error> {
    LEVELS
        .into_iter()
        .find(|level| *level == text)
        .ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Error::Invalid(format!(
                "think {shown:?} must be true, false or one of {}",
                LEVELS.join(", ")
            ))
        })
}
