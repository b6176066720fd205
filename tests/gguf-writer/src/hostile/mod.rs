//! Files that must be refused, each for one reason.
//!
//! They follow security advisories of GGUF readers: each rule of the strict reader has its files here.
//! Most are [`small::writer`](crate::small::writer) with one lie.

mod alignment;
mod counts;
mod keys;
mod spans;
mod types;
mod vocabulary;
mod whole;

use crate::Writer;

/// One file that must be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hostile {
    /// The defect, as a file name.
    pub name: &'static str,
    /// The rule that it breaks, `G1` to `G8`.
    pub rule: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
}

/// All of them, in the order of the rules.
#[must_use]
pub fn corpus() -> Vec<Hostile> {
    [
        whole::files(),
        spans::files(),
        counts::files(),
        types::files(),
        keys::files(),
        alignment::files(),
        vocabulary::files(),
    ]
    .concat()
}

fn hostile(name: &'static str, rule: &'static str, writer: &Writer) -> Hostile {
    let bytes = writer.to_bytes();
    Hostile { name, rule, bytes }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_corpus_is_large_and_its_names_are_unique() {
        let corpus = corpus();
        assert!(corpus.len() >= 60, "{} files", corpus.len());
        let names: HashSet<_> = corpus.iter().map(|hostile| hostile.name).collect();
        assert_eq!(names.len(), corpus.len());
        let rules: HashSet<_> = corpus.iter().map(|hostile| hostile.rule).collect();
        assert_eq!(rules.len(), 8);
    }
}
