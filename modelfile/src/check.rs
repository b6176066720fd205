//! Rules that concern several instructions.

use std::collections::HashSet;

use crate::diagnostic::Diagnostic;
use crate::instruction::{Instruction, Keyword};
use crate::text::{Span, Text};

/// An instruction with the spans of its keyword and its value.
pub(crate) struct Spanned {
    pub(crate) instruction: Instruction,
    pub(crate) keyword: Span,
    pub(crate) value: Span,
}

/// Errors of the whole text: a missing base, or a draft model that is the base itself.
///
/// `expects_from` is false if another mistake may hide a `FROM`.
pub(crate) fn whole(text: &Text<'_>, placed: &[Spanned], expects_from: bool) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let bases: HashSet<&str> = placed
        .iter()
        .filter_map(|placed| match &placed.instruction {
            Instruction::From(base) => Some(base.as_str()),
            _ => None,
        })
        .collect();
    if expects_from && bases.is_empty() {
        let end = text.source().len();
        let error = text.error(end..end, "there is no `FROM`");
        errors.push(error.suggest("name what the model is made of, for example `FROM smollm2`"));
    }
    let same = placed.iter().find(|placed| {
        matches!(&placed.instruction, Instruction::Draft(path) if bases.contains(path.as_str()))
    });
    if let Some(draft) = same {
        let error = text.error(draft.value.clone(), "`DRAFT` names the same as `FROM`");
        errors.push(error.suggest("a draft model must be another, smaller model"));
    }
    errors
}

/// At most `limit` warnings about instructions without effect, because a later one overrides
/// them. The last ones of the text come first.
pub(crate) fn overridden(text: &Text<'_>, placed: &[Spanned], limit: usize) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    let mut later: Vec<(Keyword, &str, usize)> = Vec::new();
    for placed in placed.iter().rev() {
        if warnings.len() >= limit {
            break;
        }
        let Some(name) = exclusive_name(&placed.instruction) else {
            continue;
        };
        let keyword = placed.instruction.keyword();
        let line = text.line_number(placed.keyword.start);
        match later.iter().find(|(k, n, _)| (*k, *n) == (keyword, name)) {
            Some((_, _, line)) => {
                let message = format!("this has no effect, because line {line} sets it again");
                warnings.push(text.warning(placed.keyword.clone(), message));
            }
            None => later.push((keyword, name, line)),
        }
    }
    warnings
}

/// The key by which a later instruction overrides this one: a parameter's name, or `""` where the keyword is enough.
fn exclusive_name(instruction: &Instruction) -> Option<&'static str> {
    match instruction {
        Instruction::Parameter(parameter) if parameter.is_of_a_list() => None,
        Instruction::Parameter(parameter) => Some(parameter.name()),
        other => other.keyword().last_wins().then_some(""),
    }
}
