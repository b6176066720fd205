//! What a model requires of the program that runs it: a version, a renderer, a parser; and which capabilities a model has.
//!
//! The version is a version of Ollama, compared with [`api::OLLAMA`]. Renderers and parsers are code of Ollama that slm does not
//! have. slm renders prompts by the model's template instead: a model without a template is refused, and one with a template is
//! logged.

use registry::{Capability, Model};
use semver::Version;

use crate::error::Error;
use crate::tools::quoted;

/// Checks that [`api::OLLAMA`] is at least the version that `requires` names; `1.2` is short for `1.2.0`.
///
/// # Errors
/// [`Error::TooOld`], and [`Error::Invalid`] for a text that is not a version.
pub fn version(requires: Option<&str>) -> Result<(), Error> {
    let Some(text) = requires.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    let required = parse(text)
        .ok_or_else(|| Error::Invalid(format!("requires {}, which is no version", quoted(text))))?;
    let ours = parse(api::OLLAMA).ok_or(Error::Internal)?;
    if required > ours {
        return Err(Error::TooOld {
            required: required.to_string(),
        });
    }
    Ok(())
}

fn parse(text: &str) -> Option<Version> {
    let numbers = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let missing = 2_usize.saturating_sub(numbers.matches('.').count());
    Version::parse(&format!("{numbers}{}", ".0".repeat(missing)))
        .or_else(|_| Version::parse(numbers))
        .ok()
}

/// Whether a model has a capability. A model without known capabilities, whose weights could not be read, may have any.
pub(crate) fn may_have(model: &Model, capability: Capability) -> bool {
    model.capabilities.is_empty() || model.capabilities.contains(&capability)
}

/// The capability as a verb phrase, for the message `'m' does not …`.
pub fn capability_phrase(capability: Capability) -> &'static str {
    match capability {
        Capability::Completion => "generate text",
        Capability::Embedding => "turn text into vectors (embedding)",
        Capability::Rerank => "rank documents (rerank)",
        Capability::Tools => "call tools",
        Capability::Insert => "fill in text (insert)",
        Capability::Vision => "see images (vision)",
        Capability::Thinking => "think before it answers (thinking)",
        Capability::Image => "make images",
        Capability::Audio => "hear sound (audio)",
    }
}

/// Checks that a prompt can be rendered although the model names a renderer or parser.
///
/// # Errors
/// [`Error::NoTemplate`] for a model without a template.
pub fn template(model: &Model, has_own: bool) -> Result<(), Error> {
    let has_template = has_own || model.template.as_ref().is_some_and(|text| !text.is_empty());
    match named(model).next() {
        Some((what, id)) if !has_template => Err(Error::NoTemplate { what, id }),
        _ => Ok(()),
    }
}

/// Logs the renderer and parser of a model, which have no effect. Called once per load.
pub fn log_unused(model: &Model) {
    for (what, id) in named(model) {
        tracing::warn!(model = %model.name, id, "slm does not have the {what} of this model; its template is used instead");
    }
}

/// The renderer and the parser that a model names, each cut to 40 characters.
fn named(model: &Model) -> impl Iterator<Item = (&'static str, String)> {
    let config = &model.config;
    [("renderer", &config.renderer), ("parser", &config.parser)]
        .into_iter()
        .filter_map(|(what, id)| Some((what, id.as_ref().filter(|id| !id.is_empty())?)))
        .map(|(what, id)| (what, id.chars().take(40).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_not_newer_passes() {
        for passes in [
            None,
            Some(""),
            Some("0.0.1"),
            Some("v0.1"),
            Some("0"),
            Some(api::OLLAMA),
            Some("0.14"),
        ] {
            assert!(version(passes).is_ok(), "{passes:?}");
        }
        for newer in ["99.0.0", "v99.1", "99"] {
            let error = version(Some(newer)).unwrap_err();
            assert!(matches!(error, Error::TooOld { .. }), "{newer}: {error}");
            let words = error.to_string();
            assert!(
                words.contains("99.") && words.contains(api::OLLAMA),
                "{words}"
            );
        }
        for none in ["new", "1.2.3.4", "-1"] {
            let error = version(Some(none)).unwrap_err();
            assert!(matches!(error, Error::Invalid(_)), "{none}: {error}");
        }
    }
}
