//! Regular expressions of clients, as constraints and in JSON Schemas.
//!
//! Matching takes linear time, because it does not backtrack; the automaton of nested repetitions can be large, so their product is
//! bounded.

use regex_syntax::{
    ParserBuilder,
    hir::{Hir, HirKind},
};

use crate::error::Error;

/// Maximum length of a pattern in bytes.
const MAX_BYTES: usize = 1024;

/// Maximum nesting of groups and repetitions.
const MAX_DEPTH: u32 = 50;

/// Maximum number of characters of a pattern with its repetitions expanded.
const MAX_SIZE: u64 = 10_000;

/// Checks a pattern.
///
/// # Errors
/// [`Error::Invalid`] when it is too long, too large or not a regular expression.
pub(super) fn check(pattern: &str) -> Result<(), Error> {
    let shown: String = pattern.chars().take(60).collect();
    if pattern.len() > MAX_BYTES {
        return Err(Error::Invalid(format!(
            "the pattern {shown:?}… has {} bytes, but at most {MAX_BYTES} are allowed",
            pattern.len()
        )));
    }
    let parsed = ParserBuilder::new()
        .nest_limit(MAX_DEPTH)
        .build()
        .parse(pattern)
        .map_err(|error| {
            let why = match &error {
                regex_syntax::Error::Parse(error) => error.kind().to_string(),
                regex_syntax::Error::Translate(error) => error.kind().to_string(),
                _ => "it is not understood".into(),
            };
            Error::Invalid(format!("the pattern {shown:?} cannot be used: {why}"))
        })?;
    let size = size(&parsed);
    if size > MAX_SIZE {
        return Err(Error::Invalid(format!(
            "the pattern {shown:?} repeats too much: written out it has {size} characters, but at most {MAX_SIZE} are allowed"
        )));
    }
    Ok(())
}

/// Number of characters with repetitions expanded. The parser has limited the depth.
fn size(pattern: &Hir) -> u64 {
    match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            size(&repetition.sub).max(1).saturating_mul(times.into())
        }
        HirKind::Capture(capture) => size(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(size).fold(0, u64::saturating_add)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_patterns_pass() {
        for pattern in [
            "",
            "^[a-z]+$",
            r"\d{4}-\d{2}-\d{2}",
            "(a+)+b",
            "(?i)yes|no",
            r"^\p{L}{1,64}$",
        ] {
            assert!(check(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn patterns_with_large_automata_are_refused() {
        let long = "a".repeat(MAX_BYTES + 1);
        let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
        for (pattern, why) in [
            (long.as_str(), "bytes"),
            (deep.as_str(), "nest"),
            ("((a{100}){100}){100}", "repeats too much"),
            ("a{1000000}", "repeats too much"),
            ("(", "unclosed"),
            ("(?=a)b", "look-around"),
            (r"(a)\1", "backreferences"),
        ] {
            let error = check(pattern).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
