//! Words for a person, broken between words at the width of the terminal.

use textwrap::{Options, WordSeparator, WordSplitter};

/// The least width in columns: what is narrower cannot be read.
const LEAST: usize = 20;

/// The text with its first line broken to `columns`, and `indent` before what follows a break.
///
/// A word that is longer than a line stays whole, so a path or an address can be copied.
/// Lines after the first stay as they are: their author laid them out, as a compiler does with a mark under a mistake.
pub(super) fn paragraph(text: &str, columns: Option<usize>, indent: &str) -> String {
    let Some(columns) = columns else {
        return text.to_owned();
    };
    let body = text.trim_start_matches('\n');
    let (first, rest) = body.find('\n').map_or((body, ""), |end| body.split_at(end));
    let before = &text[..text.len() - body.len()];
    let lines = broken(first, columns, "", indent);
    format!("{before}{}{rest}", lines.join("\n"))
}

/// Names with their meanings, the meanings in a column of their own where there is room for one.
pub(crate) fn glossary<'a>(
    rows: impl IntoIterator<Item = (&'a str, &'a str)>,
    columns: Option<usize>,
) -> String {
    /// The least width of meanings that stand beside their names.
    const BESIDE: usize = 28;
    let rows: Vec<_> = rows.into_iter().collect();
    let names = rows
        .iter()
        .map(|(name, _)| textwrap::core::display_width(name));
    let column = names.max().unwrap_or(0) + 4;
    let Some(columns) = columns else {
        let line = |(name, meaning)| format!("  {name:0$}{meaning}\n", column - 2);
        return rows.into_iter().map(line).collect();
    };
    let mut text = String::new();
    for (name, meaning) in rows {
        let (head, indent) = if column + BESIDE <= columns {
            (format!("  {name:0$}", column - 2), column)
        } else {
            text.push_str(&format!("  {name}\n"));
            ("    ".to_owned(), 4)
        };
        for line in broken(meaning, columns, &head, &" ".repeat(indent)) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// The lines of one paragraph, `head` before the first and `indent` before each other one.
pub(super) fn broken(text: &str, columns: usize, head: &str, indent: &str) -> Vec<String> {
    let options = Options::new(columns.max(LEAST))
        .initial_indent(head)
        .subsequent_indent(indent)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::wrap(text, options)
        .into_iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_no_word_is_cut() {
        let text = "error: a model of 98 MB is known only at https://example.org/a/long/path here";
        insta::assert_snapshot!(paragraph(text, Some(30), "  "), @r"
        error: a model of 98 MB is
          known only at
          https://example.org/a/long/path
          here
        ");
        assert_eq!(paragraph(text, None, "  "), text, "a file has no width");
    }

    #[test]
    fn what_was_laid_out_stays() {
        let text = "\nthere is a mistake in this file\n\n3 | PARAMETER temprature 1, and a long line\n  |           ^";
        insta::assert_snapshot!(paragraph(text, Some(24), ""), @r"

        there is a mistake in
        this file

        3 | PARAMETER temprature 1, and a long line
          |           ^
        ");
    }

    #[test]
    fn meanings_stand_beside_their_names_or_below_them() {
        let rows = [
            ("/set format json", "Answer in JSON, whatever was asked."),
            ("/bye", "Leave."),
        ];
        insta::assert_snapshot!(glossary(rows, Some(50)), @r"
        /set format json  Answer in JSON, whatever was
                          asked.
        /bye              Leave.
        ");
        insta::assert_snapshot!(glossary(rows, Some(30)), @r"
        /set format json
          Answer in JSON, whatever
          was asked.
        /bye
          Leave.
        ");
        insta::assert_snapshot!(glossary(rows, None), @r"
        /set format json  Answer in JSON, whatever was asked.
        /bye              Leave.
        ");
    }
}
