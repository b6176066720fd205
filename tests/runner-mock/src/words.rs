//! The tokens of the mock, which are words.

use std::collections::HashMap;

/// Token ids are below this.
pub(super) const VOCABULARY: u32 = 1 << 30;

/// The beginning-of-sequence token.
pub(super) const BEGIN: i32 = 1;

/// First id of a word.
const FIRST: u32 = 16;

/// Splits a text into words, each with the whitespace before it. The pieces join to the text again.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let word = rest
            .find(|char: char| !char.is_whitespace())
            .unwrap_or(rest.len());
        let end = rest[word..]
            .find(char::is_whitespace)
            .map_or(rest.len(), |length| word + length);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// All words that were seen, by their ids.
#[derive(Debug, Default)]
pub(super) struct Words(HashMap<i32, String>);

impl Words {
    /// The tokens of a text.
    pub(super) fn tokens(&mut self, text: &str) -> Vec<i32> {
        split(text).map(|piece| self.token(piece)).collect()
    }

    /// The text of tokens. The error is a token outside of the vocabulary.
    /// A token that was never seen is shown by its number.
    pub(super) fn text(&self, tokens: &[i32]) -> Result<String, i32> {
        let mut text = String::new();
        for &token in tokens {
            if !(0..VOCABULARY.cast_signed()).contains(&token) {
                return Err(token);
            }
            match self.0.get(&token) {
                Some(piece) => text.push_str(piece),
                None if token == BEGIN => {}
                None => text.push_str(&format!(" <{token}>")),
            }
        }
        Ok(text)
    }

    /// The id of a piece: its FNV-1a hash, or the next id that is free.
    fn token(&mut self, piece: &str) -> i32 {
        let hash = piece.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        let mut id = hash % VOCABULARY;
        loop {
            let token = id.max(FIRST).cast_signed();
            match self.0.get(&token) {
                Some(other) if other != piece => id = (id.max(FIRST) + 1) % VOCABULARY,
                Some(_) => return token,
                None => {
                    self.0.insert(token, piece.to_owned());
                    return token;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_words_with_the_space_before_them_and_lose_nothing() {
        let pieces = |text| split(text).collect::<Vec<_>>();
        assert_eq!(pieces("one two"), ["one", " two"]);
        assert_eq!(pieces(" a\n\nb c \n"), [" a", "\n\nb", " c", " \n"]);
        assert_eq!(pieces("   "), ["   "]);
        assert!(pieces("").is_empty());
    }

    #[test]
    fn tokens_become_the_text_they_were_made_of() {
        let mut words = Words::default();
        let text = " the quick\tbrown fox\nthe end ";
        let tokens = words.tokens(text);
        assert_eq!(words.text(&tokens).unwrap(), text);
        assert_eq!(
            tokens,
            Words::default().tokens(text),
            "ids do not depend on what came before"
        );
    }

    #[test]
    fn a_token_outside_of_the_vocabulary_is_named() {
        let words = Words::default();
        assert_eq!(words.text(&[-1]), Err(-1));
        assert_eq!(words.text(&[1 << 30]), Err(1 << 30));
        assert_eq!(words.text(&[BEGIN, 99]).unwrap(), " <99>");
    }
}
