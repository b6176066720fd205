//! Text to a [`Modelfile`], with every mistake found in one pass.
//!
//! The parser reads one instruction after the other. After a mistake it continues behind the whole
//! value of the bad instruction, so that the lines of a long quoted text are not mistaken for
//! instructions; after a quote that is never closed, at the next line that starts with a keyword in
//! capitals.

mod findings;

use std::collections::BTreeMap;

use crate::MAX_BYTES;
use crate::check::{self, Spanned};
use crate::decode::{decode, too_long};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::instruction::{Instruction, Keyword, Message, Role};
use crate::parameter::{self, MAX_TEXTS, Parameter};
use crate::recipe::Modelfile;
use crate::text::{Span, Text};
use crate::value::{self, Broken, Quoting, Value};

/// The result of parsing.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The parsed Modelfile.
    pub modelfile: Modelfile,
    /// Retired parameters, instructions that a later one overrides, a `#` that starts no comment. At
    /// most 50, all of severity `Warning`.
    pub warnings: Diagnostics,
}

/// Parses text. A byte order mark at its start is skipped.
///
/// # Errors
///
/// All mistakes and warnings in the order of the text. After 50 errors the parser stops, and the
/// last diagnostic says so.
pub fn parse(text: &str) -> Result<Parsed, Diagnostics> {
    if text.len() > MAX_BYTES {
        return Err(Diagnostics::new(vec![too_long(text.len())]));
    }
    parse_decoded(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Parses the bytes of a file: UTF-8, or UTF-16 with a byte order mark.
///
/// # Errors
///
/// As [`parse`]; or the bytes are more than [`MAX_BYTES`], or are not text.
pub fn parse_bytes(bytes: &[u8]) -> Result<Parsed, Diagnostics> {
    match decode(bytes) {
        Ok(text) => parse_decoded(&text),
        Err(finding) => Err(Diagnostics::new(vec![finding])),
    }
}

fn parse_decoded(source: &str) -> Result<Parsed, Diagnostics> {
    let text = Text::new(source);
    let mut parser = Parser::new(&text);
    parser.run();
    parser.finish()
}

/// Maximum number of diagnostics of one severity. After that many errors, one more says that the rest was not read.
pub const MOST_FINDINGS: usize = 50;

struct Parser<'a> {
    text: &'a Text<'a>,
    source: &'a str,
    /// Offset of the next byte to read.
    at: usize,
    placed: Vec<Spanned>,
    /// Number of texts of each list parameter.
    texts: BTreeMap<&'static str, usize>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    /// Whether a mistake may hide a `FROM`; its absence is then no further error.
    may_hide_from: bool,
}

/// A word before a value: the keyword, a parameter's name or a message's role.
struct Word<'a> {
    text: &'a str,
    span: Span,
    /// Whether a block starts directly behind it.
    opens_block: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a Text<'a>) -> Self {
        Self {
            text,
            source: text.source(),
            at: 0,
            placed: Vec::new(),
            texts: BTreeMap::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
            may_hide_from: false,
        }
    }

    fn run(&mut self) {
        while let Some(head) = self.next_statement() {
            if self.errors.len() >= MOST_FINDINGS {
                self.may_hide_from = true;
                let message = "too many errors; the rest was not read";
                return self.fail(self.text.error(head.span, message));
            }
            self.instruction(head);
        }
    }

    fn finish(mut self) -> Result<Parsed, Diagnostics> {
        let expects_from = !self.may_hide_from;
        self.errors
            .extend(check::whole(self.text, &self.placed, expects_from));
        let room = MOST_FINDINGS - self.warnings.len();
        self.warnings
            .extend(check::overridden(self.text, &self.placed, room));
        if !self.errors.is_empty() {
            self.errors.append(&mut self.warnings);
            return Err(Diagnostics::new(self.errors));
        }
        let instructions = self
            .placed
            .into_iter()
            .map(|placed| placed.instruction)
            .collect();
        let modelfile = Modelfile { instructions };
        Ok(Parsed {
            modelfile,
            warnings: Diagnostics::new(self.warnings),
        })
    }

    /// The first word of the next instruction, behind blanks, empty lines and comments.
    fn next_statement(&mut self) -> Option<Word<'a>> {
        loop {
            let rest = &self.source[self.at..];
            self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            if !self.source[self.at..].starts_with('#') {
                return self.word();
            }
            self.at = value::next_line(self.source, self.at);
        }
    }

    /// The next word on this line, behind blanks.
    fn word(&mut self) -> Option<Word<'a>> {
        let start = self.at + value::blanks(&self.source[self.at..]);
        let rest = &self.source[start..];
        let end = rest.find([' ', '\t', '\n', '\r']).unwrap_or(rest.len());
        if end == 0 {
            return None;
        }
        let mark = rest[..end].find(value::BLOCK);
        let text = &rest[..mark.unwrap_or(end)];
        let span = start..start + text.len();
        self.at = span.end + mark.map_or(0, |_| value::BLOCK.len());
        Some(Word {
            text,
            span,
            opens_block: mark.is_some(),
        })
    }

    fn instruction(&mut self, head: Word<'a>) {
        match Keyword::find(head.text) {
            Some(Keyword::Parameter) => self.parameter(head),
            Some(Keyword::Message) => self.message(head),
            Some(keyword) => self.simple(keyword, head),
            None => {
                self.unknown_keyword(&head);
                self.skip_value(&head);
            }
        }
    }

    /// An instruction that is a keyword and a value.
    fn simple(&mut self, keyword: Keyword, head: Word<'a>) {
        let Some(value) = self.value(keyword, &head) else {
            return;
        };
        let text = value.text.to_owned();
        let instruction = match keyword {
            Keyword::From => Instruction::From(text),
            Keyword::Draft => Instruction::Draft(text),
            Keyword::Adapter => Instruction::Adapter(text),
            Keyword::Template => Instruction::Template(text),
            Keyword::System => Instruction::System(text),
            Keyword::License => Instruction::License(text),
            Keyword::Renderer => Instruction::Renderer(text),
            Keyword::Parser => Instruction::Parser(text),
            Keyword::Requires => match parse_version(value.text) {
                Some(version) => Instruction::Requires(version),
                None => return self.bad_version(&value),
            },
            Keyword::Parameter | Keyword::Message => {
                unreachable!(
                    "`PARAMETER` and `MESSAGE` have a second word, and other functions read them"
                )
            }
        };
        self.place(instruction, head, value);
    }

    fn parameter(&mut self, head: Word<'a>) {
        let Some(name) = self.second_word(Keyword::Parameter, &head) else {
            return;
        };
        let Some(value) = self.value(Keyword::Parameter, &name) else {
            return;
        };
        match Parameter::parse(name.text, value.text) {
            Err(error) => self.bad_parameter(&error, &name, &value),
            Ok(parameter) if self.texts.get(parameter.name()) == Some(&MAX_TEXTS) => {
                let error = parameter::Error::ManyTexts(parameter.name());
                self.bad_parameter(&error, &name, &value);
            }
            Ok(parameter) => {
                if parameter.is_of_a_list() {
                    *self.texts.entry(parameter.name()).or_default() += 1;
                }
                self.place(Instruction::Parameter(parameter), head, value);
            }
        }
    }

    fn message(&mut self, head: Word<'a>) {
        let Some(second) = self.second_word(Keyword::Message, &head) else {
            return;
        };
        let role = second
            .text
            .parse::<Role>()
            .map_err(|_| self.unknown_role(&second));
        let value = self.value(Keyword::Message, &second);
        if let (Ok(role), Some(value)) = (role, value) {
            let message = Message {
                role,
                content: value.text.to_owned(),
            };
            self.place(Instruction::Message(message), head, value);
        }
    }

    fn second_word(&mut self, keyword: Keyword, head: &Word<'a>) -> Option<Word<'a>> {
        let word = if head.opens_block { None } else { self.word() };
        let word = word.filter(|word| !word.text.is_empty());
        if word.is_none() {
            self.missing_second_word(keyword, head);
            self.skip_value(head);
        }
        word
    }

    /// The value behind `before`, if it is present, readable, and not empty where it must not be.
    fn value(&mut self, keyword: Keyword, before: &Word<'a>) -> Option<Value<'a>> {
        let value = match self.read_value(before) {
            Ok(value) => value,
            Err(broken) => {
                self.broken_value(keyword, before, broken);
                return None;
            }
        };
        self.at = value.end;
        let may_be_empty = value.quoting != Quoting::Bare && keyword.may_be_empty();
        if value.text.is_empty() && !may_be_empty {
            self.missing_value(keyword, before, &value);
            return None;
        }
        if value.quoting == Quoting::Bare {
            self.warn_of_surprise(keyword, &value);
        }
        Some(value)
    }

    /// Skips the value of an instruction that is already wrong.
    fn skip_value(&mut self, before: &Word<'a>) {
        self.at = match self.read_value(before) {
            Ok(value) => value.end,
            Err(broken) => broken.resume,
        };
    }

    fn read_value(&self, before: &Word<'a>) -> Result<Value<'a>, Broken<'a>> {
        if before.opens_block {
            value::read_block(self.source, self.at)
        } else {
            value::read(self.source, self.at)
        }
    }

    fn place(&mut self, instruction: Instruction, head: Word<'a>, value: Value<'a>) {
        self.placed.push(Spanned {
            instruction,
            keyword: head.span,
            value: value.span,
        });
    }
}

/// A semantic version with an optional `v` before it; `1` and `1.2` are short for `1.0.0` and `1.2.0`.
fn parse_version(text: &str) -> Option<semver::Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let is_short = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let missing = match text.split('.').count() {
        1 if is_short => ".0.0",
        2 if is_short => ".0",
        _ => "",
    };
    semver::Version::parse(&format!("{text}{missing}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_may_be_short_and_may_have_a_v() {
        let printed = |text| parse_version(text).map(|version| version.to_string());
        assert_eq!(printed("0.14.0").as_deref(), Some("0.14.0"));
        assert_eq!(
            printed("v0.14.0-rc1+build").as_deref(),
            Some("0.14.0-rc1+build")
        );
        assert_eq!(printed("v1.2").as_deref(), Some("1.2.0"));
        assert_eq!(printed("3").as_deref(), Some("3.0.0"));
        for bad in [
            "", "v", ".", "1.", "1.2-rc1", "01.2.3", "1.2.3.4", "latest", "vv1.2.3",
        ] {
            assert_eq!(printed(bad), None, "{bad}");
        }
    }
}
