//! Bytes of tokens to text that may leave: whole characters, and never a part of a stop text.
//!
//! A token is some bytes; a character may take several tokens and a token may hold several characters.
//! What comes out depends on the bytes alone and not on where they were cut into tokens.
//! Bytes that are no UTF-8 come out as U+FFFD, one for each maximal broken piece, like `String::from_utf8_lossy`.

use crate::error::Error;

/// Most stop texts of one request.
pub(crate) const MAX_STOPS: usize = 64;

/// Longest stop text in bytes; each token is compared with all of it.
pub(crate) const MAX_STOP_BYTES: usize = 4096;

/// Texts that end an answer and are not part of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stops(Vec<String>);

impl Stops {
    /// Takes at most [`MAX_STOPS`] texts of 1 to [`MAX_STOP_BYTES`] bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more, longer or empty ones.
    pub(crate) fn new(stops: Vec<String>) -> Result<Self, Error> {
        if stops.len() > MAX_STOPS {
            return Err(Error::Invalid(format!(
                "{} stop texts are more than {MAX_STOPS}",
                stops.len()
            )));
        }
        for stop in &stops {
            if stop.is_empty() {
                return Err(Error::Invalid("a stop text is empty; leave it out".into()));
            }
            if stop.len() > MAX_STOP_BYTES {
                return Err(Error::Invalid(format!(
                    "a stop text of {} bytes is longer than {MAX_STOP_BYTES}",
                    stop.len()
                )));
            }
        }
        Ok(Self(stops))
    }

    /// Where the stop text begins that ends at the end of `text`; the longest one, where several do.
    fn ending(&self, text: &str) -> Option<usize> {
        self.0
            .iter()
            .filter(|stop| text.ends_with(stop.as_str()))
            .map(|stop| text.len() - stop.len())
            .min()
    }

    /// Where the longest end of `text` begins that could still grow into a stop text.
    fn beginning(&self, text: &str) -> Option<usize> {
        let longest = self.0.iter().map(String::len).max()?;
        let from = text.len().saturating_sub(longest - 1);
        (from..text.len())
            .filter(|&at| text.is_char_boundary(at))
            .find(|&at| self.0.iter().any(|stop| stop.starts_with(&text[at..])))
    }
}

/// What may leave after some bytes came in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Text of the answer; may be empty.
    pub(crate) text: String,
    /// A stop text came. Nothing after it belongs to the answer.
    pub(crate) stopped: bool,
}

/// The text of one answer while it grows.
#[derive(Debug)]
pub(crate) struct Text {
    stops: Stops,
    /// The beginning of a character that is not whole.
    bytes: Vec<u8>,
    /// The beginning of what may be a stop text.
    held: String,
    /// The stop text that ended the answer.
    ended_by: Option<String>,
}

impl Text {
    /// An empty answer that ends at any of these texts.
    pub(crate) fn new(stops: Stops) -> Self {
        Self {
            stops,
            bytes: Vec::new(),
            held: String::new(),
            ended_by: None,
        }
    }

    /// The stop text that ended the answer, if one did.
    pub(crate) fn ended_by(&self) -> Option<&str> {
        self.ended_by.as_deref()
    }

    /// Bytes that came in and have not left yet.
    pub(crate) fn held(&self) -> usize {
        self.held.len() + self.bytes.len()
    }

    /// Takes the bytes of one more token.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Piece {
        self.bytes.extend_from_slice(bytes);
        let seen = self.held.len();
        take_characters(&mut self.bytes, &mut self.held);
        self.release(seen)
    }

    /// Ends the answer: what was held back is part of it after all.
    pub(crate) fn finish(&mut self) -> Piece {
        let seen = self.held.len();
        if !self.bytes.is_empty() {
            self.bytes.clear();
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        let mut piece = self.release(seen);
        if !piece.stopped {
            piece.text.push_str(&std::mem::take(&mut self.held));
        }
        piece
    }

    /// Releases text that can no longer become a stop text. The first `seen` bytes were checked before.
    ///
    /// The first stop text that becomes whole ends the answer, as if characters came one by one.
    fn release(&mut self, seen: usize) -> Piece {
        for end in seen + 1..=self.held.len() {
            if !self.held.is_char_boundary(end) {
                continue;
            }
            if let Some(start) = self.stops.ending(&self.held[..end]) {
                self.ended_by = Some(self.held[start..end].to_owned());
                let mut text = std::mem::take(&mut self.held);
                text.truncate(start);
                self.bytes.clear();
                return Piece {
                    text,
                    stopped: true,
                };
            }
        }
        let keep = self.stops.beginning(&self.held).unwrap_or(self.held.len());
        let rest = self.held.split_off(keep);
        Piece {
            text: std::mem::replace(&mut self.held, rest),
            stopped: false,
        }
    }
}

/// Moves whole characters from `bytes` to `text`; the beginning of one more stays.
fn take_characters(bytes: &mut Vec<u8>, text: &mut String) {
    loop {
        let (valid, broken) = match std::str::from_utf8(bytes) {
            Ok(all) => {
                text.push_str(all);
                bytes.clear();
                return;
            }
            Err(error) => (error.valid_up_to(), error.error_len()),
        };
        text.push_str(std::str::from_utf8(&bytes[..valid]).expect("checked just before"));
        let Some(broken) = broken else {
            bytes.drain(..valid);
            return;
        };
        text.push(char::REPLACEMENT_CHARACTER);
        bytes.drain(..valid + broken);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The answer that comes out, whether a stop text ended it, and the pieces it came in.
    fn run<'a>(
        stops: &[&str],
        tokens: impl IntoIterator<Item = &'a [u8]>,
    ) -> (String, bool, Vec<String>) {
        let stops = Stops::new(stops.iter().map(|stop| String::from(*stop)).collect()).unwrap();
        let mut text = Text::new(stops);
        let mut pieces = Vec::new();
        for token in tokens {
            let piece = text.push(token);
            pieces.push(piece.text);
            if piece.stopped {
                return (pieces.concat(), true, pieces);
            }
        }
        let last = text.finish();
        pieces.push(last.text);
        (pieces.concat(), last.stopped, pieces)
    }

    #[test]
    fn text_without_stops_leaves_at_once() {
        let (text, stopped, pieces) = run(&[], [b"Hel".as_slice(), b"lo"]);
        assert_eq!((text.as_str(), stopped), ("Hello", false));
        assert_eq!(pieces, ["Hel", "lo", ""]);
    }

    #[test]
    fn a_character_waits_until_it_is_whole() {
        let bytes = "né🦀".as_bytes();
        let (text, _, pieces) = run(&[], bytes.chunks(1));
        assert_eq!(text, "né🦀");
        assert_eq!(pieces, ["n", "", "é", "", "", "", "🦀", ""]);
    }

    #[test]
    fn broken_bytes_become_replacement_characters() {
        assert_eq!(run(&[], [b"a\xffb".as_slice()]).0, "a\u{fffd}b");
        assert_eq!(run(&[], [b"a\xf0\x9f".as_slice()]).0, "a\u{fffd}");
        assert_eq!(run(&[], [b"a\xf0\x9f".as_slice(), b"b"]).0, "a\u{fffd}b");
    }

    #[test]
    fn a_stop_text_cuts_inside_a_token_and_takes_the_rest_with_it() {
        let (text, stopped, _) = run(&["###"], [b"one #".as_slice(), b"## two"]);
        assert_eq!((text.as_str(), stopped), ("one ", true));
    }

    #[test]
    fn what_could_become_a_stop_text_waits_and_leaves_when_it_did_not() {
        let (text, stopped, pieces) = run(&["</s>"], [b"a<".as_slice(), b"/s", b"!", b"<"]);
        assert_eq!((text.as_str(), stopped), ("a</s!<", false));
        assert_eq!(pieces, ["a", "", "</s!", "", "<"]);
    }

    #[test]
    fn overlapping_beginnings_are_kept_apart() {
        assert_eq!(
            run(&["aab"], [b"aaa".as_slice(), b"b"]),
            ("a".into(), true, vec!["a".into(), String::new()])
        );
    }

    #[test]
    fn the_stop_text_that_is_whole_first_wins_and_the_longer_one_of_two_ends() {
        assert_eq!(run(&["bcd", "c"], [b"abcd".as_slice()]).0, "ab");
        assert_eq!(run(&["c", "bc"], [b"abcd".as_slice()]).0, "a");
    }

    #[test]
    fn a_stop_text_of_a_split_character_is_found() {
        let (text, stopped, _) = run(&["🦀"], "a🦀b".as_bytes().chunks(2));
        assert_eq!((text.as_str(), stopped), ("a", true));
    }

    #[test]
    fn bad_stop_texts_are_refused() {
        assert!(Stops::new(vec![String::new()]).is_err());
        assert!(Stops::new(vec!["x".repeat(MAX_STOP_BYTES + 1)]).is_err());
        assert!(Stops::new(vec!["x".into(); MAX_STOPS + 1]).is_err());
        assert!(Stops::new(vec!["x".repeat(MAX_STOP_BYTES); MAX_STOPS]).is_ok());
    }

    /// Bytes that are mostly text of few letters, so that stop texts come up often.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let letter = prop_oneof![
            8 => proptest::sample::select(vec!["a", "b", "<", "é", "🦀"]).prop_map(|text| text.as_bytes().to_vec()),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ];
        proptest::collection::vec(letter, 0..40).prop_map(|letters| letters.concat())
    }

    proptest! {
        #[test]
        fn where_tokens_are_cut_changes_nothing(
            bytes in bytes(),
            cuts in proptest::collection::vec(1usize..5, 1..40),
            stops in proptest::collection::vec("[ab<é🦀]{1,4}", 0..4),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let (whole, stopped, _) = run(&stops, [bytes.as_slice()]);
            let mut tokens = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (token, after) = rest.split_at((*cut).min(rest.len()));
                tokens.push(token);
                rest = after;
            }
            let (split, split_stopped, _) = run(&stops, tokens);
            prop_assert_eq!(&whole, &split);
            prop_assert_eq!(stopped, split_stopped);
            prop_assert!(stops.iter().all(|stop| !whole.contains(stop)));
            let lossy = String::from_utf8_lossy(&bytes);
            prop_assert!(lossy.starts_with(&whole));
            prop_assert_eq!(stopped, stops.iter().any(|stop| lossy.contains(stop)));
            if !stopped {
                prop_assert_eq!(whole, lossy);
            }
        }
    }
}
