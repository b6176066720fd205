//! A byte-level BPE vocabulary of any size: bytes, then runs of letters, then control tokens.
//!
//! Runs are joined from a shorter run and one letter, and may begin with a space.
//! English words become two or three tokens, so a text has about twice as many tokens as in a vocabulary for English.

/// Tokens for single bytes.
const BYTES: usize = 256;
/// Control tokens at the end, as many as in the real vocabulary.
const CONTROLS: usize = 293;
/// The letter for the byte of a space.
const SPACE: char = 'Ġ';

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;

/// Tokens and merges of a file.
pub(super) struct Vocabulary {
    /// All tokens.
    pub(super) tokens: Vec<String>,
    /// Merges by rank.
    pub(super) merges: Vec<String>,
    /// The id of `<|endoftext|>`.
    pub(super) end_of_text: u32,
    /// The id of `<|im_end|>`.
    pub(super) end_of_turn: u32,
}

/// A vocabulary of `size` tokens, which is at least 549.
pub(super) fn new(size: usize) -> Vocabulary {
    let joined = size - BYTES - CONTROLS;
    let mut tokens: Vec<String> = (0..=u8::MAX).map(|byte| shown(byte).to_string()).collect();
    let mut merges = Vec::with_capacity(joined);
    for (run, letter) in runs().take(joined) {
        merges.push(format!("{run} {letter}"));
        tokens.push(format!("{run}{letter}"));
    }
    let end_of_text = tokens.len() as u32;
    tokens.extend(["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(str::to_owned));
    tokens.extend((3..CONTROLS).map(|unused| format!("<|unused_{unused}|>")));
    Vocabulary {
        tokens,
        merges,
        end_of_text,
        end_of_turn: end_of_text + 2,
    }
}

impl Vocabulary {
    /// The type of each token.
    pub(super) fn kinds(&self) -> impl Iterator<Item = i32> {
        let normal = self.tokens.len() - CONTROLS;
        (0..self.tokens.len()).map(move |id| if id < normal { NORMAL } else { CONTROL })
    }
}

/// Whether an answer may contain this token of a vocabulary of `size`: it is complete text and no control token.
pub(super) fn is_spoken(id: usize, size: usize) -> bool {
    (BYTES..size - CONTROLS).contains(&id)
}

/// Infinite pairs of a run of letters and the letter joined to it, shorter runs first.
fn runs() -> impl Iterator<Item = (String, char)> {
    let single: Vec<String> = std::iter::once(SPACE)
        .chain('a'..='z')
        .map(String::from)
        .collect();
    let mut shorter = single;
    std::iter::from_fn(move || {
        let run = shorter.clone();
        shorter = run
            .iter()
            .flat_map(|run| ('a'..='z').map(move |letter| format!("{run}{letter}")))
            .collect();
        Some(run)
    })
    .flatten()
    .flat_map(|run| ('a'..='z').map(move |letter| (run.clone(), letter)))
}

/// The letter for a byte: itself if it is visible, else a letter from U+0100 on.
fn shown(byte: u8) -> char {
    let seen = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if seen(byte) {
        return char::from(byte);
    }
    let hidden_before = (0..byte).filter(|&other| !seen(other)).count() as u32;
    char::from_u32(0x100 + hidden_before).expect("there are 68 of them")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const REAL: usize = 151_936;

    #[test]
    fn no_token_is_repeated() {
        let vocabulary = new(REAL);
        assert_eq!(vocabulary.tokens.len(), REAL);
        let different: HashSet<&String> = vocabulary.tokens.iter().collect();
        assert_eq!(different.len(), REAL);
    }

    #[test]
    fn merges_have_known_parts_and_results() {
        let vocabulary = new(3000);
        let known: HashSet<&str> = vocabulary.tokens.iter().map(String::as_str).collect();
        for merge in &vocabulary.merges {
            let (run, letter) = merge.split_once(' ').expect("a merge is a pair");
            for token in [run, letter, &format!("{run}{letter}")] {
                assert!(known.contains(token), "`{token}` of `{merge}`");
            }
        }
    }

    #[test]
    fn bytes_have_the_letters_of_byte_level_vocabularies() {
        assert_eq!(shown(b'a'), 'a');
        assert_eq!(shown(b' '), SPACE);
        assert_eq!(shown(b'\n'), 'Ċ');
        assert_eq!(shown(0), 'Ā');
        assert_eq!(shown(0xAD), 'Ń');
    }

    #[test]
    fn only_joined_letters_are_spoken() {
        let vocabulary = new(1000);
        let spoken: Vec<&String> = (0..1000)
            .filter(|&id| is_spoken(id, 1000))
            .map(|id| &vocabulary.tokens[id])
            .collect();
        assert_eq!(spoken.len(), 1000 - BYTES - CONTROLS);
        assert_eq!(spoken[0], "Ġa");
        assert!(!spoken.iter().any(|token| token.starts_with('<')));
    }
}
