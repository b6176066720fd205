//! The message for each mistake of an instruction.

use crate::diagnostic::{Diagnostic, displayable, is_invisible};
use crate::instruction::{Keyword, Role};
use crate::parameter;
use crate::suggest;
use crate::text::Span;
use crate::value::{self, Broken, Problem, Quoting, Surprise, Value};

use super::{MOST_FINDINGS, Parser, Word};

impl<'a> Parser<'a> {
    pub(super) fn unknown_keyword(&mut self, head: &Word<'a>) {
        let mut characters = head.text.char_indices();
        if let Some((at, character)) = characters.find(|(_, c)| is_invisible(*c)) {
            let start = head.span.start + at;
            let span = start..start + character.len_utf8();
            let code = u32::from(character);
            let message = format!("invisible character U+{code:04X} in an instruction");
            let finding = self.text.error(span, message);
            self.may_hide_from = true;
            return self.fail(finding.suggest("delete it, or write an ordinary space"));
        }
        let keywords = Keyword::ALL.map(Keyword::as_str);
        let nearest = suggest::nearest(head.text, keywords);
        self.may_hide_from |= nearest == Some(Keyword::From.as_str());
        let message = match head.text {
            "" => format!("`{}` without an instruction before it", value::BLOCK),
            word => format!("unknown instruction `{}`", displayable(word, 20)),
        };
        let help = nearest.map_or_else(
            || {
                let all = keywords.join(", ");
                format!("an instruction is one of {all}; a value of several lines must be quoted")
            },
            did_you_mean,
        );
        self.fail(self.text.error(head.span.clone(), message).suggest(help));
    }

    pub(super) fn missing_second_word(&mut self, keyword: Keyword, head: &Word<'a>) {
        let (needs, example) = match keyword {
            Keyword::Message => ("a role and a text", "MESSAGE user Hello"),
            _ => ("a name and a value", "PARAMETER temperature 0.7"),
        };
        let finding = self
            .text
            .error(head.span.clone(), format!("`{keyword}` needs {needs}"));
        self.fail(finding.suggest(format!("for example `{example}`")));
    }

    pub(super) fn unknown_role(&mut self, role: &Word<'a>) {
        let roles = Role::ALL.map(Role::as_str);
        let help = suggest::nearest(role.text, roles).map_or_else(
            || format!("a role is one of {}", roles.join(", ")),
            did_you_mean,
        );
        let message = format!("unknown role `{}`", displayable(role.text, 20));
        self.fail(self.text.error(role.span.clone(), message).suggest(help));
    }

    pub(super) fn missing_value(&mut self, keyword: Keyword, before: &Word<'a>, value: &Value<'a>) {
        self.may_hide_from |= keyword == Keyword::From;
        let head = head(keyword, before);
        let finding = match value.quoting {
            Quoting::Bare => {
                let behind = before.span.end..before.span.end;
                self.text.error(behind, format!("`{head}` needs a value"))
            }
            Quoting::Quoted | Quoting::Block => {
                let message = format!("the value of `{head}` must not be empty");
                self.text.error(value.span.clone(), message)
            }
        };
        let help = keyword
            .may_be_empty()
            .then(|| format!("write `{head} \"\"` for an empty one"));
        self.fail(finding.suggest_if(help));
    }

    pub(super) fn bad_version(&mut self, value: &Value<'a>) {
        let message = format!("`{}` is not a version", displayable(value.text, 40));
        let finding = self.text.error(value.span.clone(), message);
        self.fail(finding.suggest("a version is three numbers, for example 0.14.0"));
    }

    pub(super) fn bad_parameter(
        &mut self,
        error: &parameter::Error,
        name: &Word<'a>,
        value: &Value<'a>,
    ) {
        let (name, value) = (name.span.clone(), value.span.clone());
        match error {
            parameter::Error::Retired(_) => {
                self.warn(
                    self.text
                        .warning(name, error.to_string())
                        .suggest_if(error.hint()),
                );
            }
            parameter::Error::Unknown { .. } => {
                self.fail(
                    self.text
                        .error(name, error.to_string())
                        .suggest_if(error.hint()),
                );
            }
            _ => self.fail(
                self.text
                    .error(value, error.to_string())
                    .suggest_if(error.hint()),
            ),
        }
    }

    /// Reports an unreadable value, and continues where the value says.
    pub(super) fn broken_value(&mut self, keyword: Keyword, before: &Word<'a>, broken: Broken<'a>) {
        self.may_hide_from = true;
        self.at = broken.resume;
        let (message, help) = match broken.problem {
            Problem::OpenQuote { quote, after_quote } => (
                format!("this `{quote}` is never closed"),
                self.how_to_close(quote, after_quote),
            ),
            Problem::AfterQuote { quote } => (
                format!("text after the closing `{quote}`"),
                format!(
                    "delete it; if it is part of the value, write `{}<<END`, \
                     then the value, then a line `END`",
                    head(keyword, before),
                ),
            ),
            Problem::OpenBlock { word } => (
                "this block is never closed".to_owned(),
                format!("end it with a line that says `{word}` and nothing else"),
            ),
            Problem::AfterBlock => (
                "text after the start of a block".to_owned(),
                "the text of a block starts on the next line".to_owned(),
            ),
            Problem::BlockWord => (
                "`<<` needs a word that ends the block".to_owned(),
                "write for example `<<END`; if `<<` is part of the value, put a space before it"
                    .to_owned(),
            ),
        };
        self.fail(self.text.error(broken.span, message).suggest(help));
    }

    fn how_to_close(&self, quote: &str, after_quote: Option<Span>) -> String {
        match after_quote.map(|after| self.text.line_number(after.start)) {
            Some(line) => format!(
                "the closing `{quote}` must be the last thing on its line; \
                 on line {line} there is text after it"
            ),
            None => format!("end the text with `{quote}` at the end of a line"),
        }
    }

    pub(super) fn warn_of_surprise(&mut self, keyword: Keyword, value: &Value<'a>) {
        let Some(surprise) = value::bare_surprise(value.text) else {
            return;
        };
        let (message, help) = match surprise {
            // In prose a number sign is an ordinary character.
            Surprise::Comment if keyword.is_prose() => return,
            Surprise::Comment => (
                "`#` does not start a comment here; it is part of the value",
                "put the comment on a line of its own, or quote the value if this is meant",
            ),
            Surprise::OtherQuotes => (
                "quotes of this kind are part of the value",
                "quote with `\"`; put `\"` around all of it if this is meant",
            ),
            Surprise::DetachedBlock => (
                "this is the value itself and does not start a block",
                "a block has no space before `<<`; quote the value if this is meant",
            ),
        };
        self.warn(self.text.warning(value.span.clone(), message).suggest(help));
    }

    pub(super) fn fail(&mut self, finding: Diagnostic) {
        self.errors.push(finding);
    }

    pub(super) fn warn(&mut self, finding: Diagnostic) {
        if self.warnings.len() < MOST_FINDINGS {
            self.warnings.push(finding);
        }
    }
}

/// The words before a value, as in a Modelfile.
fn head(keyword: Keyword, before: &Word<'_>) -> String {
    match keyword {
        Keyword::Parameter | Keyword::Message => {
            format!("{keyword} {}", displayable(before.text, 40))
        }
        _ => keyword.to_string(),
    }
}

fn did_you_mean(nearest: &str) -> String {
    format!("did you mean `{nearest}`?")
}
