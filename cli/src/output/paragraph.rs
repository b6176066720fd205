//! Text, and lists of names with their meanings, wrapped to the width of the terminal.

use textwrap::{Options, WordSeparator, WordSplitter};

/// The least width in columns; less is unreadable.
const LEAST: usize = 20;

/// The text wrapped to `columns`, with `indent` before continuation lines.
///
/// A word longer than a line stays whole, so that a path or an address can be copied.
/// Lines that quote a Modelfile stay unchanged, so that `^` stays under the mistake.
pub(super) fn paragraph(text: &str, columns: Option<usize>, indent: &str) -> String {
    let Some(columns) = columns else {
        return text.to_owned();
    };
    let lines = text.split('\n').flat_map(|line| {
        if is_source(line) || textwrap::core::display_width(line) <= columns {
            return vec![line.to_owned()];
        }
        let (head, prose) = line.split_at(head(line));
        let indent = match head {
            "" => indent.to_owned(),
            head => " ".repeat(head.len()),
        };
        wrap_words(prose, columns, head, &indent)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether a line quotes a Modelfile or names a position in it, as compilers do: `12 | FROM x`, `   | ^^^`, `--> Modelfile:12:6`.
fn is_source(line: &str) -> bool {
    let behind = line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
    behind.starts_with('|') || behind.starts_with("-->")
}

/// Length of the prefix before a line's prose: spaces, and `= help: `.
fn head(line: &str) -> usize {
    let prose = line.trim_start_matches(' ');
    let prose = prose.strip_prefix("= help: ").unwrap_or(prose);
    line.len() - prose.len()
}

/// Names with their meanings, in two columns if there is room.
pub(crate) fn definitions<'a>(
    rows: impl IntoIterator<Item = (&'a str, &'a str)>,
    columns: Option<usize>,
) -> String {
    /// The least width of the column of meanings.
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
        for line in wrap_words(meaning, columns, &head, &" ".repeat(indent)) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// The lines of one paragraph, with `head` before the first and `indent` before the others.
pub(super) fn wrap_words(text: &str, columns: usize, head: &str, indent: &str) -> Vec<String> {
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
    fn lines_of_a_source_stay_unchanged() {
        let text = "\nthere is a mistake in this file\n\n3 | PARAMETER temprature 1, and a long line\n  |           ^";
        insta::assert_snapshot!(paragraph(text, Some(24), ""), @r"

        there is a mistake in
        this file

        3 | PARAMETER temprature 1, and a long line
          |           ^
        ");
    }

    #[test]
    fn a_diagnostic_is_wrapped_and_its_source_is_not() {
        let text = "warning: a number from 0 to 100, not `hot`\n --> Modelfile:2:23 in a long line\n  = help: write a number, for example 0.7";
        insta::assert_snapshot!(paragraph(text, Some(28), "  "), @r"
        warning: a number from 0 to
          100, not `hot`
         --> Modelfile:2:23 in a long line
          = help: write a number,
                  for example 0.7
        ");
    }

    #[test]
    fn meanings_are_beside_or_below_their_names() {
        let rows = [
            ("/set format json", "Answer in JSON, whatever was asked."),
            ("/bye", "Leave."),
        ];
        insta::assert_snapshot!(definitions(rows, Some(50)), @r"
        /set format json  Answer in JSON, whatever was
                          asked.
        /bye              Leave.
        ");
        insta::assert_snapshot!(definitions(rows, Some(30)), @r"
        /set format json
          Answer in JSON, whatever
          was asked.
        /bye
          Leave.
        ");
        insta::assert_snapshot!(definitions(rows, None), @r"
        /set format json  Answer in JSON, whatever was asked.
        /bye              Leave.
        ");
    }
}
