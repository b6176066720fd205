//! The source text: spans and lines in it, and diagnostics about them.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Severity, Snippet};

/// A range of bytes in the text.
pub(crate) type Span = Range<usize>;

/// The text with an index of its lines.
pub(crate) struct Text<'a> {
    source: &'a str,
    /// Offset of each line's start; the first entry is 0.
    line_starts: Vec<usize>,
}

impl<'a> Text<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        let mut line_starts = vec![0];
        let mut at = 0;
        while let Some(end) = find_line_end(&source[at..]) {
            at += end.end;
            line_starts.push(at);
        }
        Self {
            source,
            line_starts,
        }
    }

    pub(crate) fn source(&self) -> &'a str {
        self.source
    }

    /// Number of the line of the byte at offset `at`, from 1.
    pub(crate) fn line_number(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }

    /// An error about a span.
    pub(crate) fn error(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        self.finding(Severity::Error, span, message.into())
    }

    /// A warning about a span.
    pub(crate) fn warning(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        self.finding(Severity::Warning, span, message.into())
    }

    fn finding(&self, severity: Severity, span: Span, message: String) -> Diagnostic {
        let line = self.line_number(span.start);
        let line_start = self.line_starts[line - 1];
        let rest = &self.source[line_start..];
        let shown = &rest[..find_line_end(rest).map_or(rest.len(), |end| end.start)];
        let before = self.source[line_start..span.start].chars().count();
        // A span over several lines is marked up to the end of its first line.
        let marked_end = span.end.min(line_start + shown.len()).max(span.start);
        let marked = self.source[span.start..marked_end].chars().count();
        Diagnostic {
            severity,
            line,
            column: before + 1,
            message,
            snippet: (!shown.is_empty()).then(|| Snippet::new(shown, before, marked)),
            suggestion: None,
        }
    }
}

/// The span of the first line end of `text`: CR LF, LF or CR. `None` if `text` is one line.
pub(crate) fn find_line_end(text: &str) -> Option<Span> {
    let start = text.find(['\n', '\r'])?;
    let length = if text[start..].starts_with("\r\n") {
        2
    } else {
        1
    };
    Some(start..start + length)
}

impl Diagnostic {
    /// Adds the remedy.
    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// Adds the remedy, if there is one.
    pub(crate) fn suggest_if(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line_end_counts_once() {
        let text = Text::new("a\r\nb\nc\rd\n\re");
        let place = |needle: &str| text.line_number(text.source.find(needle).expect("is there"));
        assert_eq!(["a", "b", "c", "d", "e"].map(place), [1, 2, 3, 4, 6]);
    }

    #[test]
    fn columns_count_characters() {
        let text = Text::new("x\näöü z");
        let at = text.source.find('z').expect("is there");
        let finding = text.error(at..at + 1, "no");
        assert_eq!((finding.line, finding.column), (2, 5));
    }

    #[test]
    fn places_at_the_very_end() {
        for source in ["", "a", "a\n", "a\r\n"] {
            let text = Text::new(source);
            let finding = text.error(source.len()..source.len(), "no");
            assert_eq!(
                (finding.line, finding.column),
                match source {
                    "" => (1, 1),
                    "a" => (1, 2),
                    _ => (2, 1),
                }
            );
        }
    }
}
