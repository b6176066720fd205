//! Finds the start of a constraint in an answer.

use std::{ops::Range, sync::Arc};

use super::triggers::{self, Triggers};

/// Searches an answer for the start of its constraint.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// The start of the constraint.
    begins: Begins,
    /// The markup of thinking, in which the constraint never starts.
    thoughts: Thoughts,
    /// Whether the answer is inside thinking.
    thinking: bool,
    /// The end of the answer that may be the start of one of the texts.
    tail: Vec<u8>,
    /// Whether text precedes the tail. Then the tail starts with a byte of that text, so that patterns know their position.
    is_later: bool,
}

/// The start of a constraint.
#[derive(Debug, Clone)]
pub(super) enum Begins {
    /// After this text and the white space behind it. The answer must contain it.
    Behind(Vec<u8>),
    /// At one of these texts, which are constrained too. The answer need not contain one.
    With(Vec<Vec<u8>>),
    /// At the match of a pattern. The answer need not contain one.
    At(Arc<Triggers>),
}

/// The markup of thinking.
#[derive(Debug, Clone, Default)]
pub(super) struct Thoughts {
    /// The text that starts thinking; empty if there is none.
    pub(super) start: Vec<u8>,
    /// The texts that end thinking.
    pub(super) ends: Vec<Vec<u8>>,
}

/// The result of a search in new text.
enum Seen {
    /// The constraint starts, and this is its text so far.
    Begun(Vec<u8>),
    /// It has not started.
    Not {
        thinking: bool,
        tail: Vec<u8>,
        is_later: bool,
    },
}

impl Watch {
    /// Searches for one text.
    pub(super) fn behind(text: &str) -> Self {
        Self::outside(Begins::Behind(text.into()), Thoughts::default(), false)
    }

    /// Searches for a start outside of thinking; `thinking` says that the answer starts inside.
    pub(super) fn outside(begins: Begins, thoughts: Thoughts, thinking: bool) -> Self {
        Self {
            begins,
            thoughts,
            thinking,
            tail: Vec::new(),
            is_later: false,
        }
    }

    /// Whether the answer may end before the constraint starts.
    pub(super) fn is_optional(&self) -> bool {
        !matches!(self.begins, Begins::Behind(_))
    }

    /// The text of the constraint after these bytes, if it starts.
    pub(super) fn would_begin(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self.look(bytes) {
            Seen::Begun(text) => Some(text),
            Seen::Not { .. } => None,
        }
    }

    /// Advances by these bytes. Returns the text of the constraint once it starts.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self.look(bytes) {
            Seen::Begun(text) => Some(text),
            Seen::Not {
                thinking,
                tail,
                is_later,
            } => {
                self.thinking = thinking;
                self.tail = tail;
                self.is_later = is_later;
                None
            }
        }
    }

    fn look(&self, bytes: &[u8]) -> Seen {
        let text = [&self.tail, bytes].concat();
        let (mut thinking, mut from) = (self.thinking, usize::from(self.is_later));
        loop {
            if thinking {
                let Some(end) = first(&text, from, &self.thoughts.ends) else {
                    break;
                };
                thinking = false;
                from = end.end;
                continue;
            }
            let begin = self.begins.first(&text, from);
            let thought = first(&text, from, std::slice::from_ref(&self.thoughts.start));
            match (begin, thought) {
                (begin, Some(thought))
                    if begin.as_ref().is_none_or(|it| thought.start < it.start) =>
                {
                    thinking = true;
                    from = thought.end;
                }
                (Some(begin), _) => {
                    return Seen::Begun(match self.begins {
                        Begins::Behind(_) => text[begin.end..].trim_ascii_start().to_vec(),
                        Begins::With(_) | Begins::At(_) => text[begin.start..].to_vec(),
                    });
                }
                (None, _) => break,
            }
        }
        let kept = (text.len() - from).min(self.longest().saturating_sub(1));
        let cut = text.len() - kept;
        Seen::Not {
            thinking,
            tail: text[cut.saturating_sub(1)..].to_vec(),
            is_later: cut > 0,
        }
    }

    /// Length of the longest text of the search, in bytes.
    fn longest(&self) -> usize {
        let (texts, most) = match &self.begins {
            Begins::Behind(text) => (std::slice::from_ref(text), 0),
            Begins::With(texts) => (texts.as_slice(), 0),
            Begins::At(_) => (Default::default(), triggers::WINDOW),
        };
        let texts = texts.iter().chain(&self.thoughts.ends).map(Vec::len);
        texts.fold(self.thoughts.start.len().max(most), usize::max)
    }
}

impl Begins {
    /// The first start in a text, searched from a position on.
    fn first(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        match self {
            Self::Behind(begin) => first(text, from, std::slice::from_ref(begin)),
            Self::With(begins) => first(text, from, begins),
            Self::At(triggers) => triggers.first(text, from).map(|at| at..at),
        }
    }
}

/// The first occurrence of any of the texts from a position on; the longest of several. An empty text has no occurrence.
fn first(text: &[u8], from: usize, texts: &[Vec<u8>]) -> Option<Range<usize>> {
    let place = |wanted: &Vec<u8>| {
        // Comparing the first byte is faster, and excludes most windows.
        let at = from
            + text[from..]
                .windows(wanted.len())
                .position(|it| it[0] == wanted[0] && it == wanted)?;
        Some(at..at + wanted.len())
    };
    texts
        .iter()
        .filter(|wanted| !wanted.is_empty())
        .filter_map(place)
        .min_by_key(|range| (range.start, std::cmp::Reverse(range.end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches for calls, with thinking between `<t>` and `</t>` or `!`.
    fn calls(thinking: bool) -> Watch {
        let thoughts = Thoughts {
            start: b"<t>".to_vec(),
            ends: vec![b"</t>".to_vec(), b"!".to_vec()],
        };
        let begins = Begins::With(vec![b"<call>".to_vec(), b"{\"c".to_vec()]);
        Watch::outside(begins, thoughts, thinking)
    }

    /// The text of the constraint at its start, from an answer in pieces of this size.
    fn begun(mut watch: Watch, text: &str, size: usize) -> Option<String> {
        let text = text.as_bytes();
        let mut at = 0;
        for piece in text.chunks(size) {
            at += piece.len();
            let would = watch.would_begin(piece);
            let begun = watch.push(piece);
            assert_eq!(would, begun);
            if let Some(begun) = begun {
                let rest = [begun.as_slice(), &text[at..]].concat();
                return Some(String::from_utf8(rest).unwrap());
            }
        }
        None
    }

    #[test]
    fn a_constraint_starts_after_a_text_and_white_space() {
        for size in 1..20 {
            let watch = Watch::behind("</think>");
            // White space of a later piece belongs to the constraint.
            let rest = begun(watch.clone(), "so </th</think>\n\n{}", size).unwrap();
            assert_eq!(rest.trim_start(), "{}", "{size}");
            assert_eq!(begun(watch, "so </thin", size), None);
        }
        assert_eq!(
            Watch::behind("</t>").push(b"a</t> \n{").as_deref(),
            Some(b"{".as_slice())
        );
        assert!(!Watch::behind("x").is_optional());
    }

    #[test]
    fn a_constraint_starts_at_the_first_of_several_texts() {
        for size in 1..20 {
            for (text, rest) in [
                ("Well <<call>{}", Some("<call>{}")),
                ("{\"{\"c\": 1}<call>", Some("{\"c\": 1}<call>")),
                ("<call", None),
                ("", None),
            ] {
                assert_eq!(begun(calls(false), text, size).as_deref(), rest, "{size}");
            }
        }
        assert!(calls(false).is_optional());
    }

    #[test]
    fn a_constraint_does_not_start_inside_thinking() {
        for size in 1..30 {
            for (text, rest) in [
                ("<t>a <call> <t> b</t> <call>1", Some("<call>1")),
                ("<t>a <call>! and <t><call>! <call>2", Some("<call>2")),
                ("<t>a <call>", None),
            ] {
                assert_eq!(begun(calls(false), text, size).as_deref(), rest, "{size}");
            }
            let rest = begun(calls(true), "a <call></t><call>3", size);
            assert_eq!(rest.as_deref(), Some("<call>3"), "{size}");
        }
    }

    #[test]
    fn a_constraint_starts_at_the_match_of_a_pattern() {
        let patterns = ["^ to$", "<s>a( to)"].map(String::from);
        let triggers = Arc::new(Triggers::new(&patterns).unwrap());
        let watch = || {
            let thoughts = Thoughts {
                start: b"<t>".to_vec(),
                ends: vec![b"</t>".to_vec()],
            };
            Watch::outside(Begins::At(Arc::clone(&triggers)), thoughts, false)
        };
        let long = "é to <s>a ".repeat(triggers::WINDOW);
        let late = format!("{long}<s>a to=f");
        for size in 1..20 {
            for (text, rest) in [
                (" to=f", Some(" to=f")),
                ("<t> <s>a to</t> to<s>a to=f", Some(" to=f")),
                ("<t></t> to", None),
                (long.as_str(), None),
                (late.as_str(), Some(" to=f")),
            ] {
                assert_eq!(begun(watch(), text, size).as_deref(), rest, "{size}");
            }
        }
        assert!(watch().is_optional());
    }
}
