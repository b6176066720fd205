//! Patterns at which a grammar begins to hold: what llama.cpp's code for a family says of where a call begins.
//!
//! The patterns are llama.cpp's own, the text is a model's. So whatever is no pattern of this kind is left alone, and the search
//! never goes back: its time grows with the text, of which [`WINDOW`] bytes at most are looked at for each token.
//!
//! The patterns are those of ECMAScript, and may say what must not follow: `(?!text)`. Automata cannot look ahead, so the place is
//! marked by an empty group, and the text at that place is compared. Where it may still become what must not follow, nothing
//! begins until more is written.

use regex_automata::{
    Input,
    dfa::{Automaton, dense},
    nfa::thompson::{self, pikevm::PikeVM},
    util::syntax,
};

/// Most bytes of an answer's end in which a match is looked for. The longest that are known have a name of a tool in them.
pub(super) const WINDOW: usize = 256;

/// Longest pattern in bytes.
const MAX_PATTERN: usize = 512;

/// Most bytes of the automaton of all patterns; those that are known take some kilobytes.
const MAX_SIZE: usize = 1024 * 1024;

/// Patterns of which any may match.
#[derive(Debug)]
pub(super) struct Triggers {
    /// Tells whether any of them matches at all, which for almost every text it does not.
    any: dense::DFA<Vec<u32>>,
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    machine: PikeVM,
    /// What must not stand where an empty group matches, with the number of that group.
    vetoes: Vec<(usize, Vec<u8>)>,
}

/// A pattern without what it forbids.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    text: String,
    vetoes: Vec<(usize, Vec<u8>)>,
}

impl Triggers {
    /// Reads patterns. `None` when one of them says what cannot be followed.
    pub(super) fn new(patterns: &[String]) -> Option<Self> {
        let sources: Vec<_> = patterns
            .iter()
            .map(|it| Source::read(it))
            .collect::<Option<_>>()?;
        let texts: Vec<_> = sources.iter().map(|source| source.text.as_str()).collect();
        let any = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .dfa_size_limit(Some(MAX_SIZE))
                    .determinize_size_limit(Some(MAX_SIZE)),
            )
            .syntax(of_bytes())
            .thompson(small())
            .build_many(&texts)
            .ok()?;
        let patterns = sources.into_iter().map(|source| {
            let machine = PikeVM::builder()
                .syntax(of_bytes())
                .thompson(small())
                .build(&source.text);
            Some(Pattern {
                machine: machine.ok()?,
                vetoes: source.vetoes,
            })
        });
        Some(Self {
            any,
            patterns: patterns.collect::<Option<_>>()?,
        })
    }

    /// Where the grammar begins in a text that is looked at from a place on; what is before it only says whether the text is the
    /// beginning of the answer.
    pub(super) fn first(&self, text: &[u8], from: usize) -> Option<usize> {
        let input = Input::new(text).range(from..);
        if matches!(self.any.try_search_fwd(&input), Ok(None)) {
            return None;
        }
        let places = self.patterns.iter();
        places.filter_map(|it| it.first(text, from)).min()
    }
}

impl Pattern {
    fn first(&self, text: &[u8], mut from: usize) -> Option<usize> {
        let (mut cache, mut groups) = (self.machine.create_cache(), self.machine.create_captures());
        while from <= text.len() {
            let input = Input::new(text).range(from..);
            self.machine.captures(&mut cache, input, &mut groups);
            let found = groups.get_match()?;
            match self.veto(text, &groups) {
                Veto::Comes => from = found.end().max(found.start() + 1),
                Veto::MayCome => return None,
                Veto::Fails => {
                    let parts = (1..groups.group_len()).filter_map(|index| groups.get_group(index));
                    let start = parts.into_iter().find(|part| part.start < part.end);
                    return Some(start.map_or(found.start(), |part| part.start));
                }
            }
        }
        None
    }

    fn veto(&self, text: &[u8], groups: &regex_automata::util::captures::Captures) -> Veto {
        let mut veto = Veto::Fails;
        for (group, forbidden) in &self.vetoes {
            let Some(place) = groups.get_group(*group) else {
                continue;
            };
            let rest = &text[place.start..];
            if rest.starts_with(forbidden) {
                return Veto::Comes;
            }
            if forbidden.starts_with(rest) {
                veto = Veto::MayCome;
            }
        }
        veto
    }
}

/// Whether what must not follow does.
enum Veto {
    Comes,
    /// Too little is written to tell.
    MayCome,
    Fails,
}

impl Source {
    fn read(pattern: &str) -> Option<Self> {
        if pattern.len() > MAX_PATTERN {
            return None;
        }
        // The end of the text so far is wherever a token happens to end. What it ends with is looked for at each byte.
        let pattern = match pattern.strip_suffix('$') {
            Some(rest) if !rest.ends_with('\\') => rest,
            _ => pattern,
        };
        let (mut text, mut vetoes) = (String::new(), Vec::new());
        let (mut rest, mut groups) = (pattern, 0);
        while let Some(next) = rest.chars().next() {
            if let Some(ahead) = rest.strip_prefix("(?!") {
                let (forbidden, behind) = literal(ahead)?;
                groups += 1;
                vetoes.push((groups, forbidden));
                text.push_str("()");
                rest = behind;
                continue;
            }
            let taken = match next {
                '\\' => 1 + rest[1..].chars().next()?.len_utf8(),
                '[' => class(rest)?,
                _ => next.len_utf8(),
            };
            if next == '(' && !rest.starts_with("(?") {
                groups += 1;
            }
            text.push_str(&rest[..taken]);
            rest = &rest[taken..];
        }
        Some(Self { text, vetoes })
    }
}

/// A text up to the bracket that closes it, and what stands behind that. `None` for one that is not literal.
fn literal(pattern: &str) -> Option<(Vec<u8>, &str)> {
    let mut text = String::new();
    let mut signs = pattern.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            ')' if text.is_empty() => return None,
            ')' => return Some((text.into_bytes(), &pattern[at + 1..])),
            '\\' => {
                let (_, escaped) = signs.next()?;
                text.push(Some(escaped).filter(char::is_ascii_punctuation)?);
            }
            _ if regex_syntax::is_meta_character(sign) && !"-&#~".contains(sign) => return None,
            _ => text.push(sign),
        }
    }
    None
}

/// Length of a class of characters at the beginning of a pattern.
fn class(pattern: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, sign) in pattern.char_indices().skip(1) {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A text ends anywhere, also within a character.
fn of_bytes() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

fn small() -> thompson::Config {
    thompson::Config::new()
        .utf8(false)
        .nfa_size_limit(Some(MAX_SIZE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triggers(patterns: &[&str]) -> Option<Triggers> {
        let patterns: Vec<_> = patterns.iter().map(|it| String::from(*it)).collect();
        Triggers::new(&patterns)
    }

    /// What stands from the place on where it begins.
    fn from<'t>(patterns: &[&str], text: &'t str) -> Option<&'t str> {
        let at = triggers(patterns).unwrap().first(text.as_bytes(), 0)?;
        Some(&text[at..])
    }

    #[test]
    fn it_begins_at_the_first_group_or_at_the_match() {
        let patterns = ["^\\s+to$", "<\\|start\\|>a(\\s+to)"];
        assert_eq!(from(&patterns, " to"), Some(" to"));
        // A token may go on where the pattern ends.
        assert_eq!(from(&patterns, " to=f"), Some(" to=f"));
        assert_eq!(from(&patterns, "x to"), None);
        assert_eq!(from(&patterns, "x<|start|>a to"), Some(" to"));
        assert_eq!(from(&patterns, "<|start|>a<|start|>a  to"), Some("  to"));
        // An empty group is none.
        assert_eq!(from(&["<()(b*)c"], "a<bc"), Some("bc"));
        assert_eq!(from(&["<()(b*)c"], "a<c"), Some("<c"));
    }

    #[test]
    fn what_must_not_follow_keeps_it_from_beginning() {
        let patterns = ["(?:^|>)( to=(?!me<\\|)(?!you<\\|)[^<]*?<\\|)"];
        assert_eq!(from(&patterns, " to=me<|"), None);
        assert_eq!(from(&patterns, " to=you<|x> to=it<|y"), Some(" to=it<|y"));
        assert_eq!(from(&patterns, " to=men<|"), Some(" to=men<|"));
        // Whether it follows may not be known yet.
        let patterns = ["(?:^|>>>)(?!all)([^>])"];
        for text in ["a", "al", "all\nWell, >>", "all\n>>>al", ">", ""] {
            assert_eq!(from(&patterns, text), None, "{text}");
        }
        for (text, rest) in [("alter", "alter"), ("all\n>>>f{}", "f{}"), ("f", "f")] {
            assert_eq!(from(&patterns, text), Some(rest));
        }
    }

    #[test]
    fn the_beginning_of_the_answer_is_not_that_of_what_is_looked_at() {
        let triggers = triggers(&["^a", "b(c)"]).unwrap();
        assert_eq!(triggers.first(b"a", 0), Some(0));
        assert_eq!(triggers.first(b"aa", 1), None);
        assert_eq!(triggers.first(b"abc", 1), Some(2));
    }

    #[test]
    fn a_pattern_that_cannot_be_followed_is_none() {
        let long = "a".repeat(MAX_PATTERN + 1);
        for pattern in [
            "(?=a)b",
            "(?!a*)b",
            "(?!)b",
            "(?!a",
            "(a)\\1",
            "(a",
            "[a",
            "[ab]*a[ab]{300}",
            long.as_str(),
        ] {
            assert!(triggers(&[pattern]).is_none(), "{pattern}");
        }
    }

    /// A search that goes back would not come to an end here.
    #[test]
    fn no_text_takes_long() {
        let triggers = triggers(&["(?:^|<s>)( to=(?!me<m>)[^<]*?<m>)", "(<+)+x"]).unwrap();
        for text in [" to=", "<", "<s> to=me<m>"] {
            let text = text.repeat(WINDOW);
            assert_eq!(triggers.first(&text.as_bytes()[..WINDOW], 0), None);
        }
    }
}
