//! Translates a grammar into the compiler's language.
//!
//! That language has terminals, which are regular expressions and match the longest text, and rules made of terminals.
//! GBNF has only characters. A terminal of several characters could match characters of the next one, so the translation has two
//! exact forms:
//! - a grammar without recursion becomes one terminal, matched by an automaton;
//! - in any other grammar each character is a terminal.

use std::fmt::Write;

use super::gbnf::{Atom, Grammar, Item};

/// Translates a grammar.
pub(super) fn write(grammar: &Grammar) -> String {
    // Upper case is the name of a terminal, lower case that of a rule.
    let letter = if grammar.is_regular() { 'R' } else { 'r' };
    let mut text = format!("start: {letter}0\n");
    for (number, alternatives) in grammar.rules.iter().enumerate() {
        let alternatives: Vec<String> = alternatives
            .iter()
            .map(|items| sequence(items, letter))
            .collect();
        let _ = writeln!(text, "{letter}{number}: {}", alternatives.join(" | "));
    }
    text
}

fn sequence(items: &[Item], letter: char) -> String {
    let items: Vec<String> = items
        .iter()
        // Zero repetitions have no form in this language.
        .filter(|item| item.most != Some(0))
        .map(|item| format!("{}{}", atom(&item.atom, letter), times(item)))
        .collect();
    if items.is_empty() {
        "\"\"".into()
    } else {
        items.join(" ")
    }
}

fn atom(atom: &Atom, letter: char) -> String {
    match atom {
        Atom::Rule(number) => format!("{letter}{number}"),
        Atom::Class { ranges, .. } if ranges.is_empty() => "/(?s:.)/".into(),
        Atom::Class { ranges, negated } => {
            let ranges: String = ranges
                .iter()
                .map(|&(first, last)| format!("\\x{{{:x}}}-\\x{{{:x}}}", first as u32, last as u32))
                .collect();
            format!("/[{}{ranges}]/", if *negated { "^" } else { "" })
        }
    }
}

fn times(item: &Item) -> String {
    match (item.least, item.most) {
        (1, Some(1)) => String::new(),
        (0, Some(1)) => "?".into(),
        (0, None) => "*".into(),
        (1, None) => "+".into(),
        (least, None) => format!("{{{least},}}"),
        (least, Some(most)) => format!("{{{least},{most}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraint::gbnf;

    #[test]
    fn a_grammar_without_recursion_becomes_a_terminal() {
        let grammar = gbnf::read("root ::= a{2,3} | \"\"\na ::= [^x-z]* .").unwrap();
        assert_eq!(
            write(&grammar),
            "start: R0\nR0: R1{2,3} | \"\"\nR1: /[^\\x{78}-\\x{7a}]/* /(?s:.)/\n"
        );
    }

    #[test]
    fn a_recursive_grammar_becomes_rules() {
        let grammar = gbnf::read("root ::= \"a\" root? \"b\"{0} \"c\"{4,}").unwrap();
        assert_eq!(
            write(&grammar),
            "start: r0\nr0: /[\\x{61}-\\x{61}]/ r0? /[\\x{63}-\\x{63}]/{4,}\n"
        );
    }
}
