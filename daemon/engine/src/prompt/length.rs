//! Keeps texts that are far too long for the context from being turned into tokens as a whole.
//!
//! All other requests wait for the tokenizer meanwhile, and what does not fit anyway is not worth the time.
//! How many tokens a text has is only known afterwards, but three rules tell of almost every text that it has too many:
//! 1. No token stands for more bytes than the longest piece of the vocabulary.
//! 2. No text above [`MAX_BYTES`] is read, whatever it is made of.
//! 3. A text of few tokens for its length is counted in small slices first, until there are too many.
//!
//! What is refused or cut is then counted in the same slices, up to [`COUNTED_BYTES`], because the error or the answer says how many.
//!
//! A text of words that the model does not know may have fewer tokens than these rules say; when it is this long, it is refused all the same.

use crate::error::Error;

/// Longest text in bytes that is turned into tokens; the largest context holds about half of it as prose.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Pieces above this length in bytes are curiosities, and do not count as the longest.
const MAX_PIECE: usize = 256;

/// A text with more bytes for each cell of the context than this is counted first. Prose has about 4 for each token.
const ORDINARY_PIECE: usize = 6;

/// Bytes of a text that are counted to say by how much it is too long; of the others only the least number is known.
pub(crate) const COUNTED_BYTES: usize = 1024 * 1024;

/// Bytes that are counted at once.
const SLICE_BYTES: usize = 8192;

/// Tokens that a slice may have more than its part of the whole, because its ends are cut.
const SLICE_SLACK: usize = 16;

/// How long texts may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    /// Tokens that fit the context.
    cells: usize,
    /// Most bytes of one token.
    longest_piece: usize,
}

/// A text that may be turned into tokens, after something was cut out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// What is left: more tokens than the context has cells.
    pub(crate) text: String,
    /// So many tokens were cut out; at least so many, where that was more than [`COUNTED_BYTES`].
    pub(crate) tokens: usize,
}

impl Length {
    /// For a context of so many cells and a vocabulary whose longest piece has so many bytes.
    pub(crate) fn new(cells: usize, longest_piece: usize) -> Self {
        Self {
            cells,
            longest_piece: longest_piece.clamp(1, MAX_PIECE),
        }
    }

    /// Whether so many bytes are too many, whatever the text.
    pub(crate) fn excludes(&self, bytes: usize) -> bool {
        bytes > (self.cells * self.longest_piece).min(MAX_BYTES)
    }

    /// Checks a text. `count` counts the tokens of a part of it.
    ///
    /// # Errors
    /// [`Error::TextTooLong`] when it cannot fit the context.
    pub(crate) fn check(&self, text: &str, count: impl FnMut(&str) -> usize) -> Result<(), Error> {
        let too_long = self.excludes(text.len())
            || (text.len() > self.cells * ORDINARY_PIECE
                && first(text, self.cells, count) < text.len());
        if too_long {
            return Err(self.refusal(text.len()));
        }
        Ok(())
    }

    /// Shortens a text that [`Self::check`] refuses: its first `keep` tokens stay, and its end.
    ///
    /// # Errors
    /// As [`Self::refuse`] gives when what is to be kept leaves no room for the end.
    pub(crate) fn cut(
        &self,
        text: &str,
        keep: usize,
        mut count: impl FnMut(&str) -> usize,
    ) -> Result<Cut, Error> {
        if keep >= self.cells {
            return Err(self.refuse(text, count));
        }
        // A half each at most, so that what is left is no longer than any other text.
        let half = text.len().min(MAX_BYTES / 2);
        let head = first(&text[..text.floor_char_boundary(half)], keep, &mut count);
        let from = text.ceil_char_boundary(text.len() - half);
        let tail = from + last(&text[from..], self.cells, &mut count);
        if tail <= head {
            return Ok(Cut {
                text: text.to_owned(),
                tokens: 0,
            });
        }
        Ok(Cut {
            text: [&text[..head], &text[tail..]].concat(),
            tokens: self.counted(&text[head..tail], count),
        })
    }

    /// What is said of a text that [`Self::check`] refuses: how many tokens it has, or how many bytes where it is too long to be counted.
    pub(crate) fn refuse(&self, text: &str, count: impl FnMut(&str) -> usize) -> Error {
        if text.len() > COUNTED_BYTES {
            return self.refusal(text.len());
        }
        Error::ContextOverflow {
            prompt: self.counted(text, count),
            context: self.cells,
        }
    }

    /// Tokens of a text; at least so many, where it is longer than [`COUNTED_BYTES`].
    fn counted(&self, text: &str, mut count: impl FnMut(&str) -> usize) -> usize {
        let (mut at, mut counted) = (0, 0);
        while at < text.len().min(COUNTED_BYTES) {
            let end = slice_end(text, at);
            counted += count(&text[at..end]);
            at = end;
        }
        counted + (text.len() - at).div_ceil(self.longest_piece)
    }

    /// What is said of a text that is too long and was not counted.
    pub(crate) fn refusal(&self, bytes: usize) -> Error {
        Error::TextTooLong {
            bytes,
            context: self.cells,
        }
    }
}

/// Where the slices from the start end that have more than so many tokens; the text's length, when it has no more.
fn first(text: &str, tokens: usize, mut count: impl FnMut(&str) -> usize) -> usize {
    let (mut at, mut counted) = (0, 0);
    while at < text.len() && counted <= tokens {
        let end = slice_end(text, at);
        counted += count(&text[at..end]).saturating_sub(SLICE_SLACK);
        at = end;
    }
    if counted > tokens { at } else { text.len() }
}

/// Where the slices from the end begin that have more than so many tokens; 0, when it has no more.
fn last(text: &str, tokens: usize, mut count: impl FnMut(&str) -> usize) -> usize {
    let (mut at, mut counted) = (text.len(), 0);
    while at > 0 && counted <= tokens {
        let start = slice_start(text, at);
        counted += count(&text[start..at]).saturating_sub(SLICE_SLACK);
        at = start;
    }
    at
}

/// Where the slice ends that begins here: between two words, where there are any.
fn slice_end(text: &str, at: usize) -> usize {
    let end = text.ceil_char_boundary((at + SLICE_BYTES).min(text.len()));
    if end == text.len() {
        return end;
    }
    let slice = &text.as_bytes()[at..end];
    let gap = (1..slice.len()).rev().find(|&gap| is_gap(slice, gap));
    gap.map_or(end, |gap| at + gap)
}

/// Where the slice begins that ends here.
fn slice_start(text: &str, at: usize) -> usize {
    let start = text.floor_char_boundary(at.saturating_sub(SLICE_BYTES));
    if start == 0 {
        return start;
    }
    let slice = &text.as_bytes()[start..at];
    let gap = (1..slice.len()).find(|&gap| is_gap(slice, gap));
    gap.map_or(start, |gap| start + gap)
}

/// Whether a word ends before this blank: no token lies on both sides, because blanks go with the word behind them.
fn is_gap(text: &[u8], at: usize) -> bool {
    text[at] == b' ' && !text[at - 1].is_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token for every four characters.
    fn fours(text: &str) -> usize {
        text.chars().count().div_ceil(4)
    }

    fn too_long(result: Result<(), Error>) -> bool {
        matches!(result, Err(Error::TextTooLong { .. }))
    }

    #[test]
    fn an_ordinary_text_is_not_counted() {
        let length = Length::new(10_000, 64);
        let text = "é".repeat(30_000);
        length
            .check(&text, |_| panic!("nobody needs to know"))
            .unwrap();
    }

    #[test]
    fn what_no_vocabulary_could_fit_is_not_counted_either() {
        let length = Length::new(100, 64);
        let text = "a".repeat(6401);
        let result = length.check(&text, |_| panic!("nobody needs to know"));
        assert!(too_long(result));
        assert!(!length.excludes(6400));
        assert!(Length::new(1 << 20, 64).excludes(MAX_BYTES + 1));
        assert!(Length::new(100, 1_000_000).excludes(100 * MAX_PIECE + 1));
    }

    #[test]
    fn a_long_text_is_counted_until_there_are_too_many() {
        let length = Length::new(10_000, 64);
        let text = "é".repeat(300_000);
        let mut seen = 0;
        let result = length.check(&text, |slice| {
            seen += slice.len();
            fours(slice)
        });
        assert!(too_long(result));
        assert!(seen < 100_000, "{seen}");
        // The same text fits where its tokens are long.
        length.check(&text, |slice| slice.len() / 64).unwrap();
    }

    #[test]
    fn what_is_cut_lies_between_the_first_and_the_last_tokens() {
        let length = Length::new(10_000, 4);
        let text: String = (0..400_000)
            .map(|at| char::from(b'a' + u8::try_from(at / 20_000).unwrap()))
            .collect();
        let cut = length.cut(&text, 100, fours).unwrap();
        assert!(fours(&cut.text) > 10_100, "{}", cut.text.len());
        assert!(cut.text.len() < 70_000, "{}", cut.text.len());
        assert!(text.starts_with(&cut.text[..400]));
        assert!(text.ends_with(&cut.text[cut.text.len() - 40_000..]));
        assert_eq!(cut.tokens, (text.len() - cut.text.len()) / 4);
    }

    /// A token for every word, with the blank before it.
    fn vocabulary(text: &str) -> usize {
        text.split_inclusive(' ').count() - usize::from(text.starts_with(' '))
    }

    #[test]
    fn what_is_cut_is_counted_word_by_word() {
        let length = Length::new(1000, 64);
        let text = "hello".to_owned() + &" hello".repeat(99_999);
        let cut = length.cut(&text, 10, vocabulary).unwrap();
        assert_eq!(vocabulary(&text), 100_000);
        assert_eq!(cut.tokens + vocabulary(&cut.text), 100_000);
        assert!(matches!(
            length.refuse(&text, vocabulary),
            Error::ContextOverflow {
                prompt: 100_000,
                context: 1000
            }
        ));
    }

    #[test]
    fn what_is_not_counted_has_at_least_a_token_for_each_longest_piece() {
        let length = Length::new(1000, 64);
        let text = " hello".repeat(2_000_000);
        let mut seen = 0;
        let count = |slice: &str| {
            seen += slice.len();
            vocabulary(slice)
        };
        let cut = length.cut(&text, 10, count).unwrap();
        let lost = text.len() - cut.text.len();
        assert!(cut.tokens > COUNTED_BYTES / 6 && cut.tokens < lost / 6);
        assert!(seen < 2 * COUNTED_BYTES, "{seen}");
        assert!(matches!(
            length.refuse(&text, vocabulary),
            Error::TextTooLong { .. }
        ));
    }

    #[test]
    fn what_is_left_is_bounded_and_whole_characters() {
        let length = Length::new(1000, 4);
        let text = "🦀".repeat(MAX_BYTES / 2);
        // Tokens are never this long, but then it must end all the same.
        let cut = length.cut(&text, 999, |_| 0).unwrap();
        assert!(cut.text.len() <= MAX_BYTES, "{}", cut.text.len());
        assert!(cut.tokens > 0);
    }

    #[test]
    fn keeping_everything_is_refused() {
        let length = Length::new(1000, 4);
        assert!(matches!(
            length.cut("a", 1000, fours),
            Err(Error::ContextOverflow {
                prompt: 1,
                context: 1000
            })
        ));
    }
}
