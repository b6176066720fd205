//! Where a long text can be cut so that its parts have the same tokens as the whole.
//!
//! llama.cpp first looks for the tokens whose text is never split, such as control tokens, and walks from the start over
//! all it has found for each further one: a text of many takes time that grows with their square, minutes for a megabyte.
//! In parts of a few kilobytes the time grows with the length alone.

use std::{collections::HashSet, ops::Range};

/// A part is cut off at the first seam after so many bytes.
const PART_BYTES: usize = 4096;

/// Texts of tokens that llama.cpp finds before it looks at anything else; each place where one begins is a seam.
#[derive(Debug, Default)]
pub(crate) struct Seams {
    texts: HashSet<Box<[u8]>>,
    /// Lengths of the texts that begin with each byte, longest first.
    lengths: Vec<Vec<usize>>,
}

impl Seams {
    /// Takes the tokens' texts; empty ones do not count.
    pub(crate) fn new(texts: impl IntoIterator<Item = Box<[u8]>>) -> Self {
        let texts: HashSet<Box<[u8]>> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        let mut lengths = vec![Vec::new(); 256];
        for text in &texts {
            lengths[usize::from(text[0])].push(text.len());
        }
        for lengths in &mut lengths {
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            lengths.dedup();
        }
        Self { texts, lengths }
    }

    /// The parts of a text, in order. A text without seams is one part.
    pub(crate) fn parts<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let (part, after) = rest.split_at(self.first_seam(rest));
            rest = after;
            (!part.is_empty()).then_some(part)
        })
    }

    /// Where the first token of a text lies, the longest of those that begin there.
    pub(crate) fn first(&self, text: &str) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        let found = |at: usize| Some(at..at + self.token(&bytes[at..])?);
        (0..bytes.len()).find_map(found)
    }

    /// Where the first part ends.
    fn first_seam(&self, text: &str) -> usize {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            match self.token(&bytes[at..]) {
                Some(_) if at >= PART_BYTES && text.is_char_boundary(at) => return at,
                // No seam lies inside a token.
                Some(length) => at += length,
                None => at += 1,
            }
        }
        bytes.len()
    }

    /// Length of the longest token that the bytes begin with.
    pub(crate) fn token(&self, bytes: &[u8]) -> Option<usize> {
        let lengths = self.lengths.get(usize::from(*bytes.first()?))?;
        lengths.iter().copied().find(|&length| {
            bytes
                .get(..length)
                .is_some_and(|text| self.texts.contains(text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seams(texts: &[&str]) -> Seams {
        Seams::new(texts.iter().map(|text| text.as_bytes().into()))
    }

    #[test]
    fn parts_are_the_whole_and_begin_with_a_token() {
        let seams = seams(&["<s>", "</s>", "<|é|>", ""]);
        let text = format!("{}<s>ab</s>c<|é|>🦀<", "x".repeat(3000)).repeat(20);
        let parts: Vec<&str> = seams.parts(&text).collect();
        assert_eq!(parts.concat(), text);
        assert_eq!(parts.len(), 11);
        assert!(parts[1..].iter().all(|part| part.starts_with("<s>")));
    }

    #[test]
    fn the_first_and_longest_token_is_found() {
        let seams = seams(&["<s>", "<s>>", "s"]);
        assert_eq!(seams.first("é<s>>s"), Some(2..6));
        assert_eq!(seams.first("xs<s>"), Some(1..2));
        assert_eq!(seams.first("<x>"), None);
    }

    #[test]
    fn many_tokens_are_many_small_parts() {
        let seams = seams(&["<s>"]);
        let text = "<s>".repeat(100_000);
        let longest = seams.parts(&text).map(str::len).max();
        assert!(longest < Some(PART_BYTES + 3), "{longest:?}");
    }

    #[test]
    fn no_token_is_cut() {
        let seams = seams(&["aa", "aaa"]);
        let text = "a".repeat(10_000);
        let parts: Vec<&str> = seams.parts(&text).collect();
        assert_eq!(parts.concat(), text);
        assert!(parts.len() > 1);
        assert!(
            parts[..parts.len() - 1]
                .iter()
                .all(|part| part.len() % 3 == 0)
        );
    }

    #[test]
    fn a_text_without_seams_is_one_part() {
        let text = "hello ".repeat(10_000);
        assert_eq!(seams(&["<s>"]).parts(&text).collect::<Vec<_>>(), [&text]);
        assert_eq!(seams(&[]).parts(&text).count(), 1);
        assert_eq!(seams(&[]).parts("").count(), 0);
    }
}
