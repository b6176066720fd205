//! Mistakes in a Modelfile, shown as a compiler shows them.

use std::fmt;

use unicode_width::UnicodeWidthChar;

/// The severity of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The text is not a Modelfile.
    Error,
    /// The text is a Modelfile, but a part of it does not do what it seems to do.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One diagnostic, with its position and a remedy.
///
/// Quotations from the text are safe for a terminal: control characters and characters that
/// change the writing direction are replaced, long passages are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether this alone makes the text unusable.
    pub severity: Severity,
    /// Line, from 1. CR LF, LF and CR each end one line.
    pub line: usize,
    /// Column in characters (Unicode scalar values), from 1.
    pub column: usize,
    /// What is wrong: lower-case, no full stop.
    pub message: String,
    /// The line that it concerns, if there is one.
    pub snippet: Option<Snippet>,
    /// The remedy, if there is one: lower-case, no full stop.
    pub suggestion: Option<String>,
}

/// A line of the text, or the part of a long line around the position, with the position marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    text: String,
    /// Terminal cells before the mark, and under the mark.
    indent: usize,
    carets: usize,
}

impl Snippet {
    /// Characters shown before the marked position, and after its start.
    const BEFORE: usize = 60;
    const AFTER: usize = 60;

    /// Shows `line` with `length` characters marked from the character `start` on, counted from 0.
    pub(crate) fn new(line: &str, start: usize, length: usize) -> Self {
        let first = start.saturating_sub(Self::BEFORE);
        let mut text = String::new();
        if first > 0 {
            text.push('…');
        }
        let mut indent = text.chars().count();
        let mut carets = 0;
        let mut characters = line.chars().skip(first);
        for (index, character) in (first..start + Self::AFTER).zip(&mut characters) {
            let shown = visible(character);
            let width = shown.width().unwrap_or(0);
            if index < start {
                indent += width;
            } else if index < start + length {
                carets += width;
            }
            text.push(shown);
        }
        if characters.next().is_some() {
            text.push('…');
        }
        Self {
            text: text.trim_end().to_owned(),
            indent,
            carets: carets.max(1),
        }
    }
}

/// Diagnostics in the order of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    pub(crate) fn new(mut findings: Vec<Diagnostic>) -> Self {
        // Stable: diagnostics at one position keep the order in which they were found.
        findings.sort_by_key(|finding| (finding.line, finding.column));
        Self(findings)
    }

    /// The diagnostics, first line first.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The diagnostics as text, with `file` as the name of the source.
    pub fn render(&self, file: &str) -> String {
        let all: Vec<_> = self.iter().map(|finding| finding.render(file)).collect();
        all.join("\n\n")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(UNNAMED))
    }
}

impl std::error::Error for Diagnostics {}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Name of the source where the caller gives none.
const UNNAMED: &str = "Modelfile";

impl Diagnostic {
    /// The diagnostic as text, with `file` as the name of the source. No line break at the end.
    pub fn render(&self, file: &str) -> String {
        let margin = " ".repeat(self.line.to_string().len());
        let mut lines = vec![
            format!("{}: {}", self.severity, self.message),
            format!("{margin}--> {file}:{}:{}", self.line, self.column),
        ];
        if let Some(Snippet {
            text,
            indent,
            carets,
        }) = &self.snippet
        {
            lines.push(format!("{margin} |"));
            lines.push(format!("{} | {text}", self.line));
            lines.push(format!(
                "{margin} | {}{}",
                " ".repeat(*indent),
                "^".repeat(*carets)
            ));
        }
        if let Some(suggestion) = &self.suggestion {
            lines.push(format!("{margin} = help: {suggestion}"));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(UNNAMED))
    }
}

/// At most `longest` characters of `text`, safe for a terminal and for one line.
pub(crate) fn displayable(text: &str, longest: usize) -> String {
    let mut characters = text.chars();
    let mut shown: String = characters.by_ref().take(longest).map(visible).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// The character itself, or a substitute of one or two cells for an invisible character or one that
/// controls the terminal.
fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        _ if is_invisible(character) => '\u{fffd}',
        _ => character,
    }
}

/// Whether the character is invisible, and is neither a space nor a tab: controls, spaces of other
/// widths, zero-width characters and direction marks.
pub(crate) fn is_invisible(character: char) -> bool {
    match character {
        ' ' | '\t' => false,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
        '\u{202a}'..='\u{202e}' => true,
        _ => character.is_control() || character.is_whitespace(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(line: &str, start: usize, length: usize) -> String {
        let finding = Diagnostic {
            severity: Severity::Error,
            line: 12,
            column: start + 1,
            message: "no".to_owned(),
            snippet: Some(Snippet::new(line, start, length)),
            suggestion: Some("yes".to_owned()),
        };
        finding.to_string()
    }

    #[test]
    fn looks_like_a_compiler_message() {
        let expected = "\
error: no
  --> Modelfile:12:6
   |
12 | FORM llama3
   |      ^^^^^^
   = help: yes";
        assert_eq!(finding("FORM llama3", 5, 6), expected);
    }

    #[test]
    fn carets_stand_under_wide_characters() {
        let text = finding("日本 x", 3, 1);
        assert!(text.contains("\n12 | 日本 x\n   |      ^\n"), "{text}");
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let line = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let text = finding(&line, 5000, 1);
        let shown = text.lines().nth(3).expect("the line is shown");
        assert_eq!(
            shown,
            format!("12 | …{}X{}…", "a".repeat(60), "b".repeat(59))
        );
        assert_eq!(
            text.lines().nth(4).map(|carets| carets.find('^')),
            Some(shown.find('X').map(|at| at - "…".len() + 1))
        );
    }

    #[test]
    fn terminals_get_no_commands() {
        let text = finding("a\u{1b}[2Jb\u{202e}c\rd", 0, 1);
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{text:?}");
        assert_eq!(displayable("a\nb\u{7}", 10), "a\u{fffd}b\u{fffd}");
        assert_eq!(displayable("abcdef", 3), "abc…");
    }
}
