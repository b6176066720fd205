//! Values: their quoting, for parsing and printing.
//!
//! The forms are Ollama's (bare, `"…"`, `"""…"""`) and one addition, the block.
//! A quoted value has no escapes; it ends at the first end of a line whose text, blanks aside,
//! ends with the quote. So a value with `"""` at the end of an inner line cannot be quoted, and
//! longer fences of quotes are no way out: `""""Hi," she said."""` already means `"Hi," she said.`
//! A block starts with `<<WORD` directly after the word before it, which no other reader accepts,
//! so it takes no text away from the older forms.

use std::collections::HashSet;

use crate::instruction::Keyword;
use crate::text::{Span, find_line_end};

/// The form of a value in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// The rest of the line, without blanks at its ends.
    Bare,
    /// Between `"` or `"""`.
    Quoted,
    /// Between `<<WORD` and a line with that word alone.
    Block,
}

/// A value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    pub(crate) text: &'a str,
    pub(crate) quoting: Quoting,
    /// Its span, with quotes; for a block, the span of its mark.
    pub(crate) span: Span,
    /// Start of the next line.
    pub(crate) end: usize,
}

/// An unreadable value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken<'a> {
    pub(crate) problem: Problem<'a>,
    /// The span of the problem.
    pub(crate) span: Span,
    /// Offset at which the parser continues.
    pub(crate) resume: usize,
}

/// Why a value is unreadable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem<'a> {
    /// No line ends with the quote.
    OpenQuote {
        quote: &'static str,
        /// Text after a quote on an inner line: the likely cause.
        after_quote: Option<Span>,
    },
    /// Text follows a closing quote, so the value would include the instructions after it.
    AfterQuote { quote: &'static str },
    /// No line consists of the block's word.
    OpenBlock { word: &'a str },
    /// Text follows the block's word on its own line.
    AfterBlock,
    /// `<<` is not followed by a word that can end a block.
    BlockWord,
}

/// The mark that starts a block.
pub(crate) const BLOCK: &str = "<<";

const LONG: &str = "\"\"\"";
const SHORT: &str = "\"";

/// The longest word that can end a block.
const LONGEST_BLOCK_WORD: usize = 64;

/// Reads a bare or quoted value that starts, after blanks, at `at`.
pub(crate) fn read(source: &str, at: usize) -> Result<Value<'_>, Broken<'_>> {
    let start = at + blanks(&source[at..]);
    let rest = &source[start..];
    if rest.starts_with(LONG) {
        read_quoted(source, start, LONG)
    } else if rest.starts_with(SHORT) {
        read_quoted(source, start, SHORT)
    } else {
        let line = line_of(rest);
        let text = rest[..line.start].trim();
        let from = start + (rest.len() - rest.trim_start().len()).min(line.start);
        let span = from..from + text.len();
        Ok(Value {
            text,
            quoting: Quoting::Bare,
            span,
            end: start + line.end,
        })
    }
}

fn read_quoted<'a>(
    source: &'a str,
    start: usize,
    quote: &'static str,
) -> Result<Value<'a>, Broken<'a>> {
    let mut after_quote = None;
    let mut at = start + quote.len();
    while at <= source.len() {
        let line = line_of(&source[at..]);
        let text = source[at..at + line.start].trim_end();
        if let Some(inner) = text.strip_suffix(quote) {
            let close = at + inner.len();
            if let Some(swallowed) =
                after_quote.and_then(|after: Span| swallows(source, after, close))
            {
                return Err(Broken {
                    problem: Problem::AfterQuote { quote },
                    span: swallowed.clone(),
                    resume: next_line(source, swallowed.end),
                });
            }
            return Ok(Value {
                text: &source[start + quote.len()..close],
                quoting: Quoting::Quoted,
                span: start..close + quote.len(),
                end: at + line.end,
            });
        }
        if after_quote.is_none()
            && let Some(inner) = text.find(quote)
        {
            after_quote = Some(at + inner + quote.len()..at + text.len());
        }
        if line.is_empty() {
            break;
        }
        at += line.end;
    }
    Err(Broken {
        problem: Problem::OpenQuote { quote, after_quote },
        span: start..start + quote.len(),
        resume: next_instruction(source, next_line(source, start)).unwrap_or(source.len()),
    })
}

/// The text `after` an inner quote, if an instruction follows it before the value closes at `close`.
fn swallows(source: &str, after: Span, close: usize) -> Option<Span> {
    let value = &source[..close];
    next_instruction(value, next_line(value, after.end)).map(|_| after)
}

/// Reads a block whose `<<` ends before `at`.
pub(crate) fn read_block(source: &str, at: usize) -> Result<Value<'_>, Broken<'_>> {
    let start = at - BLOCK.len();
    let line = line_of(&source[at..]);
    let head = &source[at..at + line.start];
    let word_end = head.find([' ', '\t']).unwrap_or(head.len());
    let (word, after) = head.split_at(word_end);
    let body = at + line.end;
    let broken = |problem, span, resume| {
        Err(Broken {
            problem,
            span,
            resume,
        })
    };
    if !is_block_word(word) {
        return broken(Problem::BlockWord, start..at + word.len(), body);
    }
    let mark = start..at + word.len();
    let Some((text_end, end)) = find_block_end(source, body, word) else {
        let resume = next_instruction(source, body).unwrap_or(source.len());
        return broken(Problem::OpenBlock { word }, mark, resume);
    };
    if !after.trim().is_empty() {
        let from = mark.end + blanks(after);
        return broken(Problem::AfterBlock, from..from + after.trim().len(), end);
    }
    Ok(Value {
        text: &source[body..text_end],
        quoting: Quoting::Block,
        span: mark,
        end,
    })
}

/// End of the text of a block that starts at `at`, and start of the line after the block.
fn find_block_end(source: &str, mut at: usize, word: &str) -> Option<(usize, usize)> {
    let mut text_end = at;
    while at < source.len() {
        let line = line_of(&source[at..]);
        if source[at..at + line.start].trim_end_matches([' ', '\t']) == word {
            return Some((text_end, at + line.end));
        }
        text_end = at + line.start;
        at += line.end;
    }
    None
}

fn is_block_word(word: &str) -> bool {
    word.len() <= LONGEST_BLOCK_WORD
        && word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && word
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// Whether a bare value looks like a block with a space before its mark.
pub(crate) fn looks_like_block(text: &str) -> bool {
    text.strip_prefix(BLOCK).is_some_and(is_block_word)
}

/// Start of the next line that is clearly an instruction, at or after the line start `at`.
///
/// Such a line starts with a keyword in capitals and a blank. Prose has lines that start with "from" or
/// "message", so lower case does not count.
fn next_instruction(source: &str, mut at: usize) -> Option<usize> {
    while at < source.len() {
        let rest = &source[at..];
        let line = line_of(rest);
        let text = rest[..line.start].trim_start_matches([' ', '\t']);
        let word = text.split([' ', '\t']).next().unwrap_or_default();
        if word.len() < text.len() && Keyword::ALL.iter().any(|keyword| keyword.as_str() == word) {
            return Some(at);
        }
        at += line.end;
    }
    None
}

/// The span of the first line end of `rest`; empty at the end of the text.
fn line_of(rest: &str) -> Span {
    find_line_end(rest).unwrap_or(rest.len()..rest.len())
}

/// Start of the line after the line of `at`.
pub(crate) fn next_line(source: &str, at: usize) -> usize {
    at + line_of(&source[at..]).end
}

/// Number of leading blanks.
pub(crate) fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

/// `text` as a value that parses to exactly `text`, with the separator before it.
///
/// It takes the first form that is exact and draws no warning: bare, `"…"`, `"""…"""`, block.
pub(crate) fn write(text: &str) -> String {
    let one_line = !text.contains(['\n', '\r']);
    if one_line && is_plain(text) {
        format!(" {text}")
    } else if one_line && !text.contains(SHORT) {
        format!(" {SHORT}{text}{SHORT}")
    } else if one_line || !text.contains(LONG) {
        format!(" {LONG}{text}{LONG}")
    } else {
        write_block(text)
    }
}

/// Whether `text` needs no quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && !text.starts_with(SHORT)
        && bare_surprise(text).is_none()
}

fn write_block(text: &str) -> String {
    let lines: HashSet<&str> = text.split(['\n', '\r']).map(str::trim_end).collect();
    let word = std::iter::once("END".to_owned())
        .chain((2..=u64::MAX).map(|number| format!("END{number}")))
        .find(|word| !lines.contains(word.as_str()))
        .expect("a text has fewer lines than there are numbers");
    // A text that ends with CR would lose it to a following LF, so its line ends with CR LF.
    let line_end = if text.ends_with('\r') { "\r\n" } else { "\n" };
    format!("{BLOCK}{word}\n{text}{line_end}{word}")
}

/// Why a bare value may surprise its writer.
pub(crate) fn bare_surprise(text: &str) -> Option<Surprise> {
    if text.contains(" #") || text.contains("\t#") {
        Some(Surprise::Comment)
    } else if is_wrapped(text, '\'', '\'')
        || is_wrapped(text, '“', '”')
        || is_wrapped(text, '‘', '’')
    {
        Some(Surprise::OtherQuotes)
    } else if looks_like_block(text) {
        Some(Surprise::DetachedBlock)
    } else {
        None
    }
}

fn is_wrapped(text: &str, open: char, close: char) -> bool {
    text.strip_prefix(open)
        .is_some_and(|rest| rest.ends_with(close))
}

/// A surprise in a bare value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surprise {
    /// A `#` after a blank, which starts no comment.
    Comment,
    /// Quotes of a kind without meaning here.
    OtherQuotes,
    /// `<<WORD` after a blank, which starts no block.
    DetachedBlock,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The value and its end as Ollama's parser reads them, or nothing if the value never ends. Slow
    /// and simple: at the end of each line, it tests the whole text so far.
    fn older_reader(source: &str) -> Option<(&str, usize)> {
        let ends = source
            .match_indices(['\n', '\r'])
            .map(|(at, _)| at)
            .chain([source.len()]);
        ends.map(|end| (source[..end].trim(), end))
            .find_map(|(text, end)| {
                let quote = [LONG, SHORT]
                    .into_iter()
                    .find(|quote| text.starts_with(quote));
                let inner = match quote {
                    Some(quote) if text.len() < 2 * quote.len() => None,
                    Some(quote) => text[quote.len()..].strip_suffix(quote),
                    None => Some(text),
                };
                inner.map(|inner| (inner, end))
            })
    }

    fn piece() -> impl Strategy<Value = &'static str> {
        let pieces = [
            "\"", "\"", "\"\"", "\"\"\"", "\n", "\n", "\r\n", "\r", " ", "\t", "a", "bc",
            "SYSTEM ", "from ", "#",
        ];
        prop::sample::select(pieces.to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(5000) })]

        #[test]
        fn texts_of_older_readers_keep_their_value(pieces in prop::collection::vec(piece(), 0..14)) {
            let source = pieces.concat();
            match (read(&source, 0), older_reader(&source)) {
                (Ok(value), Some((text, end))) => {
                    prop_assert_eq!(value.text, text);
                    prop_assert!(value.end == end || find_line_end(&source[end..]) == Some(0..value.end - end));
                }
                (Err(Broken { problem: Problem::OpenQuote { .. }, .. }), None) => {}
                (Err(Broken { problem: Problem::AfterQuote { .. }, .. }), Some((text, _))) => {
                    prop_assert!(text.contains("SYSTEM "), "{:?}", text);
                }
                (ours, older) => prop_assert!(false, "{:?} is not {:?}", ours, older),
            }
        }
    }

    #[test]
    fn a_block_is_no_text_of_the_older_forms() {
        let value = read_block("<<END\na\n\nEND\nb", 2).expect("it is closed");
        assert_eq!((value.text, value.end), ("a\n", 13));
        assert_eq!(read("<<SYS>>\n", 0).map(|value| value.text), Ok("<<SYS>>"));
    }
}
