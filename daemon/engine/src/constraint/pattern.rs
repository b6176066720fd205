//! Regular expressions of clients, as a constraint of their own and inside JSON Schemas.
//!
//! Matching cannot blow up, because it never goes back; what can is the automaton of nested repetitions, so their product is bounded.

use regex_syntax::{
    ParserBuilder,
    hir::{Hir, HirKind},
};

use crate::error::Error;

/// Longest pattern in bytes.
const MAX_BYTES: usize = 1024;

/// Deepest nesting of groups and repetitions.
const MAX_DEPTH: u32 = 50;

/// Most characters that a pattern stands for when its repetitions are written out.
const MAX_SIZE: u64 = 10_000;

/// Checks a pattern.
///
/// # Errors
/// [`Error::Invalid`] when it is too long or too large, or is none.
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

/// Characters when repetitions are written out. The depth was limited by the parser.
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
    fn what_would_blow_up_is_refused() {
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
