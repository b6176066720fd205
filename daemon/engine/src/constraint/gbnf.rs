//! Reads and checks grammars in GBNF, the notation of llama.cpp.
//!
//! llama.cpp's own reader recurses for each bracket, and its matcher keeps a stack for each possible continuation, so a grammar of a
//! few bytes can crash its process. Here the reader counts brackets, rules and repetitions, and another matcher is used.
//!
//! ```text
//! root  ::= "yes" | "no" | list        # a comment
//! list  ::= "[" item ("," item)* "]"
//! item  ::= [a-z]{1,8} | [^"\x00-\x1f] | .
//! ```
//! Tokens of a model (`<…>`) are not supported.

use std::collections::HashMap;

use crate::error::Error;

/// Maximum nesting of brackets.
const MAX_DEPTH: usize = 64;

/// Maximum number of rules; each bracket counts as one.
const MAX_RULES: usize = 2048;

/// Maximum number of characters, classes and names in all rules.
const MAX_ITEMS: usize = 20_000;

/// Maximum count of a repetition, as in llama.cpp.
const MAX_TIMES: u32 = 2000;

/// Rules, which refer to each other by number. The first is the root.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grammar {
    pub(super) rules: Vec<Vec<Sequence>>,
}

/// A sequence of items.
pub(super) type Sequence = Vec<Item>;

/// An item with its number of repetitions, mostly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) atom: Atom,
    pub(super) least: u32,
    /// `None` for no limit.
    pub(super) most: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Atom {
    /// A rule.
    Rule(usize),
    /// One character inside these ranges, or outside of them.
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
}

impl Grammar {
    /// Whether no rule is recursive, so that the grammar is one regular expression.
    pub(super) fn is_regular(&self) -> bool {
        // Removes rules without references until none is left, or only recursive ones.
        let mut open: Vec<usize> = vec![0; self.rules.len()];
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); self.rules.len()];
        for (user, rule) in self.rules.iter().enumerate() {
            for item in rule.iter().flatten() {
                if let Atom::Rule(used) = item.atom {
                    open[user] += 1;
                    users[used].push(user);
                }
            }
        }
        let mut done: Vec<usize> = (0..open.len()).filter(|&rule| open[rule] == 0).collect();
        let mut count = 0;
        while let Some(rule) = done.pop() {
            count += 1;
            for &user in &users[rule] {
                open[user] -= 1;
                if open[user] == 0 {
                    done.push(user);
                }
            }
        }
        count == self.rules.len()
    }
}

/// Reads a grammar.
///
/// # Errors
/// [`Error::Invalid`] with the line, when it is wrong, too deep or too large.
pub(super) fn read(text: &str) -> Result<Grammar, Error> {
    let mut reader = Reader {
        rest: text,
        text,
        names: HashMap::new(),
        rules: vec![None],
        items: 0,
    };
    reader.names.insert("root", 0);
    reader.grammar()?;
    let names = reader.names;
    let rules = reader.rules.into_iter().enumerate().map(|(number, rule)| {
        rule.ok_or_else(|| {
            let name = names.iter().find(|(_, known)| **known == number);
            let name = name.map_or("?", |(name, _)| *name);
            let name: String = name.chars().take(60).collect();
            Error::Invalid(format!("the grammar has no rule '{name}'"))
        })
    });
    Ok(Grammar {
        rules: rules.collect::<Result<_, _>>()?,
    })
}

struct Reader<'t> {
    text: &'t str,
    rest: &'t str,
    names: HashMap<&'t str, usize>,
    /// `None` for a rule that is referred to and not read yet.
    rules: Vec<Option<Vec<Sequence>>>,
    items: usize,
}

impl<'t> Reader<'t> {
    fn grammar(&mut self) -> Result<(), Error> {
        self.space(true);
        while !self.rest.is_empty() {
            let name = self.name()?;
            self.space(false);
            if !self.rest.starts_with("::=") {
                return Err(self.wrong("'::=' is missing"));
            }
            self.rest = &self.rest[3..];
            self.space(true);
            let rule = self.number(name)?;
            let alternatives = self.alternatives(0)?;
            // As in llama.cpp, the last rule with a name counts.
            self.rules[rule] = Some(alternatives);
            if !self.rest.is_empty() && !self.rest.starts_with(['\r', '\n']) {
                return Err(self.wrong("this cannot stand here"));
            }
            self.space(true);
        }
        Ok(())
    }

    fn alternatives(&mut self, depth: usize) -> Result<Vec<Sequence>, Error> {
        let mut all = vec![self.sequence(depth)?];
        loop {
            // A line may start with a bar and another alternative.
            let before = self.rest;
            self.space(true);
            if !self.eat('|') {
                if depth == 0 {
                    self.rest = before;
                }
                return Ok(all);
            }
            self.space(true);
            all.push(self.sequence(depth)?);
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<Sequence, Error> {
        let mut items = Vec::new();
        loop {
            self.space(depth > 0);
            let mut unit = match self.rest.chars().next() {
                Some('"') => self.literal()?,
                Some('[') => vec![self.class()?],
                Some('.') => {
                    self.eat('.');
                    vec![self.once(Atom::Class {
                        ranges: Vec::new(),
                        negated: true,
                    })?]
                }
                Some('(') => vec![self.group(depth)?],
                Some('<' | '!') => return Err(self.wrong("tokens by name are not supported")),
                Some(letter) if in_name(letter) => {
                    let name = self.name()?;
                    let rule = self.number(name)?;
                    vec![self.once(Atom::Rule(rule))?]
                }
                _ => return Ok(items),
            };
            self.space(depth > 0);
            while let Some((least, most)) = self.times()? {
                unit = vec![self.repeated(unit, least, most)?];
                self.space(depth > 0);
            }
            items.append(&mut unit);
        }
    }

    fn group(&mut self, depth: usize) -> Result<Item, Error> {
        if depth == MAX_DEPTH {
            return Err(self.wrong(&format!(
                "brackets are nested deeper than {MAX_DEPTH} levels"
            )));
        }
        self.eat('(');
        let alternatives = self.alternatives(depth + 1)?;
        if !self.eat(')') {
            return Err(self.wrong("')' is missing"));
        }
        let rule = self.rule(Some(alternatives))?;
        self.once(Atom::Rule(rule))
    }

    /// Repeats a unit. A unit of several items, or with a repetition, becomes a rule first.
    fn repeated(
        &mut self,
        mut unit: Sequence,
        least: u32,
        most: Option<u32>,
    ) -> Result<Item, Error> {
        let single = matches!(
            unit.as_slice(),
            [Item {
                least: 1,
                most: Some(1),
                ..
            }]
        );
        let item = match unit.pop() {
            Some(item) if single => item,
            last => {
                unit.extend(last);
                let rule = self.rule(Some(vec![unit]))?;
                self.once(Atom::Rule(rule))?
            }
        };
        Ok(Item {
            least,
            most,
            ..item
        })
    }

    /// The repetition of the preceding unit, if there is one.
    fn times(&mut self) -> Result<Option<(u32, Option<u32>)>, Error> {
        if self.eat('*') {
            return Ok(Some((0, None)));
        }
        if self.eat('+') {
            return Ok(Some((1, None)));
        }
        if self.eat('?') {
            return Ok(Some((0, Some(1))));
        }
        if !self.eat('{') {
            return Ok(None);
        }
        self.space(false);
        let least = self.count()?;
        self.space(false);
        let most = if self.eat(',') {
            self.space(false);
            if self.rest.starts_with('}') {
                None
            } else {
                Some(self.count()?)
            }
        } else {
            Some(least)
        };
        self.space(false);
        if !self.eat('}') {
            return Err(self.wrong("'}' is missing"));
        }
        if most.is_some_and(|most| most < least) {
            return Err(self.wrong("the most is less than the least"));
        }
        Ok(Some((least, most)))
    }

    fn count(&mut self) -> Result<u32, Error> {
        let digits = self.take_while(|letter| letter.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.wrong("a number is missing"));
        }
        match digits.parse() {
            Ok(count) if count <= MAX_TIMES => Ok(count),
            _ => Err(self.wrong(&format!("more than {MAX_TIMES} repetitions are asked for"))),
        }
    }

    fn literal(&mut self) -> Result<Sequence, Error> {
        self.eat('"');
        let mut items = Vec::new();
        while !self.eat('"') {
            let letter = self.character("'\"' is missing")?;
            items.push(self.once(Atom::Class {
                ranges: vec![(letter, letter)],
                negated: false,
            })?);
        }
        Ok(items)
    }

    fn class(&mut self) -> Result<Item, Error> {
        self.eat('[');
        let negated = self.eat('^');
        let mut ranges = Vec::new();
        while !self.eat(']') {
            let first = self.character("']' is missing")?;
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            let last = if is_range {
                self.eat('-');
                self.character("']' is missing")?
            } else {
                first
            };
            if last < first {
                return Err(self.wrong("a range ends before it begins"));
            }
            self.count_item()?;
            ranges.push((first, last));
        }
        if ranges.is_empty() && !negated {
            return Err(self.wrong("'[]' holds no character"));
        }
        self.once(Atom::Class { ranges, negated })
    }

    /// One character, which may be written as an escape.
    fn character(&mut self, missing: &str) -> Result<char, Error> {
        let Some(letter) = self.rest.chars().next() else {
            return Err(self.wrong(missing));
        };
        self.rest = &self.rest[letter.len_utf8()..];
        if letter != '\\' {
            return Ok(letter);
        }
        let Some(kind) = self.rest.chars().next() else {
            return Err(self.wrong(missing));
        };
        let escaped = match kind {
            'x' => self.hexadecimal(2),
            'u' => self.hexadecimal(4),
            'U' => self.hexadecimal(8),
            't' => Some('\t'),
            'r' => Some('\r'),
            'n' => Some('\n'),
            '\\' | '"' | '[' | ']' | '-' => Some(kind),
            _ => None,
        };
        if !matches!(kind, 'x' | 'u' | 'U') {
            self.rest = &self.rest[kind.len_utf8()..];
        }
        escaped.ok_or_else(|| self.wrong("a backslash is followed by something unknown"))
    }

    fn hexadecimal(&mut self, digits: usize) -> Option<char> {
        let code = self.rest.get(1..=digits)?;
        let code = code
            .chars()
            .all(|digit| digit.is_ascii_hexdigit())
            .then_some(code)?;
        self.rest = &self.rest[1 + digits..];
        char::from_u32(u32::from_str_radix(code, 16).ok()?)
    }

    fn name(&mut self) -> Result<&'t str, Error> {
        let name = self.take_while(in_name);
        if name.is_empty() {
            return Err(self.wrong("the name of a rule is missing"));
        }
        Ok(name)
    }

    fn number(&mut self, name: &'t str) -> Result<usize, Error> {
        if let Some(number) = self.names.get(name) {
            return Ok(*number);
        }
        let number = self.rule(None)?;
        self.names.insert(name, number);
        Ok(number)
    }

    fn rule(&mut self, rule: Option<Vec<Sequence>>) -> Result<usize, Error> {
        if self.rules.len() == MAX_RULES {
            return Err(self.wrong(&format!(
                "there are more than {MAX_RULES} rules and brackets"
            )));
        }
        self.rules.push(rule);
        Ok(self.rules.len() - 1)
    }

    fn once(&mut self, atom: Atom) -> Result<Item, Error> {
        self.count_item()?;
        Ok(Item {
            atom,
            least: 1,
            most: Some(1),
        })
    }

    fn count_item(&mut self) -> Result<(), Error> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(self.wrong(&format!("it has more than {MAX_ITEMS} parts")));
        }
        Ok(())
    }

    fn space(&mut self, lines: bool) {
        loop {
            let blank = |letter: char| {
                letter == ' ' || letter == '\t' || (lines && (letter == '\r' || letter == '\n'))
            };
            self.rest = self.rest.trim_start_matches(blank);
            if !self.rest.starts_with('#') {
                return;
            }
            let end = self.rest.find(['\r', '\n']).unwrap_or(self.rest.len());
            self.rest = &self.rest[end..];
            if !lines {
                return;
            }
        }
    }

    fn eat(&mut self, letter: char) -> bool {
        let rest = self.rest.strip_prefix(letter);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take_while(&mut self, pass: impl Fn(char) -> bool) -> &'t str {
        let end = self
            .rest
            .find(|letter| !pass(letter))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn wrong(&self, why: &str) -> Error {
        let read = &self.text[..self.text.len() - self.rest.len()];
        let line = read.matches('\n').count() + 1;
        Error::Invalid(format!("the grammar cannot be used: line {line}: {why}"))
    }
}

fn in_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class(ranges: &[(char, char)], negated: bool) -> Atom {
        Atom::Class {
            ranges: ranges.to_vec(),
            negated,
        }
    }

    fn one(letter: char) -> Item {
        Item {
            atom: class(&[(letter, letter)], false),
            least: 1,
            most: Some(1),
        }
    }

    fn rule(number: usize, least: u32, most: Option<u32>) -> Item {
        Item {
            atom: Atom::Rule(number),
            least,
            most,
        }
    }

    fn refused(grammar: &str, why: &str) {
        let error = read(grammar).unwrap_err().to_string();
        assert!(error.contains(why), "{grammar}: {error}");
    }

    #[test]
    fn rules_groups_and_repetitions_are_read() {
        let read =
            read("root ::= \"ab\" (x | \"c\")* # end\n\n x  ::= [^0-9\\]\\x41]{2,} \"yz\"? .")
                .unwrap();
        let any = Item {
            atom: class(&[], true),
            least: 1,
            most: Some(1),
        };
        let digits = Item {
            atom: class(&[('0', '9'), (']', ']'), ('A', 'A')], true),
            least: 2,
            most: None,
        };
        let expected = Grammar {
            rules: vec![
                vec![vec![one('a'), one('b'), rule(2, 0, None)]],
                vec![vec![digits, rule(3, 0, Some(1)), any]],
                vec![vec![rule(1, 1, Some(1))], vec![one('c')]],
                vec![vec![one('y'), one('z')]],
            ],
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn lines_end_rules_and_not_groups() {
        let read = read("root ::= (\n \"a\"\n | \"b\"\n)\n  | \"c\"\nother ::= \"\"").unwrap();
        assert_eq!(read.rules.len(), 3);
        assert_eq!(read.rules[0], [vec![rule(1, 1, Some(1))], vec![one('c')]]);
        assert_eq!(read.rules[2], [vec![]]);
    }

    #[test]
    fn a_recursive_grammar_is_not_regular() {
        assert!(
            read("root ::= a a\na ::= b{2} | \"x\"\nb ::= [a-z]")
                .unwrap()
                .is_regular()
        );
        for circle in [
            "root ::= \"a\" root?",
            "root ::= a\na ::= b\nb ::= a | \"x\"",
        ] {
            assert!(!read(circle).unwrap().is_regular(), "{circle}");
        }
    }

    #[test]
    fn errors_name_their_line() {
        refused("root ::= \"a\"\nx = \"b\"", "line 2: '::=' is missing");
        refused("root ::= x", "no rule 'x'");
        refused("a ::= \"x\"", "no rule 'root'");
        refused("", "no rule 'root'");
        refused("root ::= (\"a\"", "')' is missing");
        refused("root ::= \"a", "'\"' is missing");
        refused("root ::= [a", "']' is missing");
        refused("root ::= []", "'[]'");
        refused("root ::= [z-a]", "ends before");
        refused("root ::= \"\\q\"", "backslash");
        refused("root ::= \"\\ud800\"", "backslash");
        refused("root ::= \"a\"{3,2}", "less than");
        refused("root ::= <think>", "tokens by name");
        refused("root ::= \"a\" )", "cannot stand here");
    }

    #[test]
    fn grammars_that_would_crash_a_process_are_refused() {
        refused(
            &format!("root ::= {}\"a\"{}", "(".repeat(30_000), ")".repeat(30_000)),
            "deeper than 64",
        );
        refused(
            &format!("root ::= {}", "(".repeat(60_000)),
            "deeper than 64",
        );
        refused("root ::= \"a\"{99999999}", "more than 2000");
        refused("root ::= \"a\"{0,99999999999999}", "more than 2000");
        refused(
            &format!("root ::= {}", "(\"a\") ".repeat(5000)),
            "more than 2048",
        );
        refused(
            &format!("root ::= \"{}\"", "a".repeat(30_000)),
            "more than 20000",
        );
        assert!(
            read(&format!(
                "root ::= {}\"a\"{}",
                "(".repeat(64),
                ")".repeat(64)
            ))
            .is_ok()
        );
    }

    proptest! {
        #[test]
        fn no_text_does_harm(text in "(root|a|::=|\"|\\[|\\]|\\(|\\)|[*+?{},0-9|.^\\\\x\n# -]){0,60}") {
            let _ = read(&text);
            let _ = read(&format!("root ::= {text}"));
        }
    }
}
