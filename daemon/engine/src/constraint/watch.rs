//! Where in an answer a constraint begins to hold.

use std::{ops::Range, sync::Arc};

use super::triggers::{self, Triggers};

/// Looks at an answer until its constraint begins.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// What the constraint begins with.
    begins: Begins,
    /// Texts between which the constraint never begins.
    thoughts: Thoughts,
    /// Whether the answer is between them.
    thinking: bool,
    /// As much of the answer's end as may be the beginning of one of the texts.
    tail: Vec<u8>,
    /// Whether more stands before that. Then the tail's first byte is of that, so that a pattern sees where it is.
    is_later: bool,
}

/// What a constraint begins with.
#[derive(Debug, Clone)]
pub(super) enum Begins {
    /// Behind this text, and the white space that follows it. The answer must come that far.
    Behind(Vec<u8>),
    /// With one of these texts, which are part of what is constrained. They need not come.
    With(Vec<Vec<u8>>),
    /// Where a pattern says so. It need not come.
    At(Arc<Triggers>),
}

/// The markup of thoughts.
#[derive(Debug, Clone, Default)]
pub(super) struct Thoughts {
    /// Begins them; empty when nothing does.
    pub(super) start: Vec<u8>,
    /// Each of these ends them.
    pub(super) ends: Vec<Vec<u8>>,
}

/// What is known when more was written.
enum Seen {
    /// The constraint begins, and this much of it is written.
    Begun(Vec<u8>),
    /// It does not yet.
    Not {
        thinking: bool,
        tail: Vec<u8>,
        is_later: bool,
    },
}

impl Watch {
    /// Looks for one text.
    pub(super) fn behind(text: &str) -> Self {
        Self::outside(Begins::Behind(text.into()), Thoughts::default(), false)
    }

    /// Looks for a beginning outside of thoughts; `thinking` when the answer begins within one.
    pub(super) fn outside(begins: Begins, thoughts: Thoughts, thinking: bool) -> Self {
        Self {
            begins,
            thoughts,
            thinking,
            tail: Vec::new(),
            is_later: false,
        }
    }

    /// Whether the answer may end before the constraint begins.
    pub(super) fn is_optional(&self) -> bool {
        !matches!(self.begins, Begins::Behind(_))
    }

    /// What of the constraint would be written, if these bytes make it begin.
    pub(super) fn would_begin(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self.look(bytes) {
            Seen::Begun(text) => Some(text),
            Seen::Not { .. } => None,
        }
    }

    /// Goes on by these bytes. Says what of the constraint is written, once it begins.
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

    /// Bytes of the longest text that is looked for.
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
    /// The first beginning in a text that is looked at from a place on.
    fn first(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        match self {
            Self::Behind(begin) => first(text, from, std::slice::from_ref(begin)),
            Self::With(begins) => first(text, from, begins),
            Self::At(triggers) => triggers.first(text, from).map(|at| at..at),
        }
    }
}

/// Where the first of some texts stands from a place on; of those that stand there, the longest. An empty text stands nowhere.
fn first(text: &[u8], from: usize, texts: &[Vec<u8>]) -> Option<Range<usize>> {
    let place = |wanted: &Vec<u8>| {
        // Most windows do not begin as it does, which is faster to see than that they are not it.
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

    /// Looks for calls, where thoughts stand between `<t>` and `</t>` or `!`.
    fn calls(thinking: bool) -> Watch {
        let thoughts = Thoughts {
            start: b"<t>".to_vec(),
            ends: vec![b"</t>".to_vec(), b"!".to_vec()],
        };
        let begins = Begins::With(vec![b"<call>".to_vec(), b"{\"c".to_vec()]);
        Watch::outside(begins, thoughts, thinking)
    }

    /// What is written of the constraint when it begins, read in pieces of so many bytes.
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
    fn it_begins_behind_a_text_and_white_space() {
        for size in 1..20 {
            let watch = Watch::behind("</think>");
            // White space that comes in a later piece is the constraint's own matter.
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
    fn it_begins_with_the_first_of_some_texts() {
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
    fn thoughts_may_speak_of_it() {
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
    fn it_begins_where_a_pattern_says_so() {
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
