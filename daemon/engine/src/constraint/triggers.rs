//! Patterns at which a grammar starts, from llama.cpp's code for the chat formats of model families.
//!
//! The patterns are llama.cpp's, the text is a model's. Other patterns are not supported. The search does not backtrack: its time is
//! linear in the text, of which it reads at most [`WINDOW`] bytes for each token.
//!
//! The patterns are regular expressions of ECMAScript, also with a negative lookahead `(?!text)`. Automata have no lookahead, so an
//! empty group marks its position, and the text there is compared. While too little text is there to decide, the grammar does not
//! start.

use regex_automata::{
    Input,
    dfa::{Automaton, dense},
    nfa::thompson::{self, pikevm::PikeVM},
    util::syntax,
};

/// Number of bytes at the end of an answer that are searched. The longest known matches contain the name of a tool.
pub(super) const WINDOW: usize = 256;

/// Maximum length of a pattern in bytes.
const MAX_PATTERN: usize = 512;

/// Maximum size of the automaton of all patterns in bytes; the known ones take some kilobytes.
const MAX_SIZE: usize = 1024 * 1024;

/// A set of patterns.
#[derive(Debug)]
pub(super) struct Triggers {
    /// Finds out whether any pattern matches, which is false for almost every text.
    any: dense::DFA<Vec<u32>>,
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    machine: PikeVM,
    /// Forbidden texts at the positions of empty groups, with the numbers of the groups.
    vetoes: Vec<(usize, Vec<u8>)>,
}

/// A pattern without its lookaheads.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    text: String,
    vetoes: Vec<(usize, Vec<u8>)>,
}

impl Triggers {
    /// Reads patterns. `None` if one of them is not supported.
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

    /// The start of the grammar in a text, searched from a position on. The text before it only shows whether the position is the
    /// start of the answer.
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

/// The result of a negative lookahead.
enum Veto {
    Comes,
    /// Too little text to decide.
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

/// A literal text up to its closing bracket, and the rest. `None` if it is not literal.
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

/// Length of a character class at the start of a pattern.
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

/// A text may end inside a character.
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

    /// The text from the start of the grammar on.
    fn from<'t>(patterns: &[&str], text: &'t str) -> Option<&'t str> {
        let at = triggers(patterns).unwrap().first(text.as_bytes(), 0)?;
        Some(&text[at..])
    }

    #[test]
    fn a_grammar_starts_at_the_first_group_or_at_the_match() {
        let patterns = ["^\\s+to$", "<\\|start\\|>a(\\s+to)"];
        assert_eq!(from(&patterns, " to"), Some(" to"));
        // A token may continue after the end of the pattern.
        assert_eq!(from(&patterns, " to=f"), Some(" to=f"));
        assert_eq!(from(&patterns, "x to"), None);
        assert_eq!(from(&patterns, "x<|start|>a to"), Some(" to"));
        assert_eq!(from(&patterns, "<|start|>a<|start|>a  to"), Some("  to"));
        // An empty group does not count.
        assert_eq!(from(&["<()(b*)c"], "a<bc"), Some("bc"));
        assert_eq!(from(&["<()(b*)c"], "a<c"), Some("<c"));
    }

    #[test]
    fn a_negative_lookahead_prevents_the_start() {
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
    fn the_start_of_the_window_is_not_the_start_of_the_answer() {
        let triggers = triggers(&["^a", "b(c)"]).unwrap();
        assert_eq!(triggers.first(b"a", 0), Some(0));
        assert_eq!(triggers.first(b"aa", 1), None);
        assert_eq!(triggers.first(b"abc", 1), Some(2));
    }

    #[test]
    fn an_unsupported_pattern_gives_none() {
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

    /// A search with backtracking would not end here.
    #[test]
    fn every_text_is_searched_in_linear_time() {
        let triggers = triggers(&["(?:^|<s>)( to=(?!me<m>)[^<]*?<m>)", "(<+)+x"]).unwrap();
        for text in [" to=", "<", "<s> to=me<m>"] {
            let text = text.repeat(WINDOW);
            assert_eq!(triggers.first(&text.as_bytes()[..WINDOW], 0), None);
        }
    }
}
