//! Columns of text.

use unicode_width::UnicodeWidthStr as _;

use super::{Output, clean};

const GAP: usize = 3;

/// A table with a heading, for lists of things.
///
/// Columns are as wide as their widest cell and never cut, so a name can always be copied.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&cell| cell.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Cells may hold what others wrote: they are cleaned, and stay in one line.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// The table as text, the heading in bold where there are colours.
    pub(crate) fn render(&self, out: &Output) -> String {
        let widths = widths(std::iter::once(&self.head).chain(&self.rows));
        let mut text = out.heading(&join(&self.head, &widths));
        text.push('\n');
        for row in &self.rows {
            text.push_str(&join(row, &widths));
            text.push('\n');
        }
        text
    }
}

/// A titled block of names and values, indented, for the details of one thing.
pub(crate) fn section(out: &Output, title: &str, rows: &[(String, String)]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(name, value)| vec![one_line(name), one_line(value)])
        .collect();
    let widths = widths(&rows);
    let mut text = format!("  {}\n", out.heading(title));
    for row in &rows {
        text.push_str("    ");
        text.push_str(&join(row, &widths));
        text.push('\n');
    }
    text
}

fn one_line(cell: &str) -> String {
    clean(cell).replace(['\n', '\t'], " ")
}

fn widths<'a>(rows: impl IntoIterator<Item = &'a Vec<String>>) -> Vec<usize> {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    widths
}

/// Pads all cells but the last, so that no line ends in spaces.
fn join(row: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in row.iter().zip(widths) {
        text.push_str(cell);
        text.extend(std::iter::repeat_n(' ', width + GAP - cell.width()));
    }
    text.truncate(text.trim_end_matches(' ').len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Color, Tone};

    fn plain() -> Output {
        Output::new(
            Tone {
                color: Color::Never,
                ..Tone::default()
            },
            &[],
        )
    }

    #[test]
    fn columns_line_up_with_wide_letters_and_hostile_cells() {
        let mut table = Table::new(&["NAME", "SIZE", "NOTE"]);
        table.row([
            "smollm2:latest".to_owned(),
            "98.4 MB".to_owned(),
            String::new(),
        ]);
        table.row([
            "模型".to_owned(),
            "1 B".to_owned(),
            "two\nlines\u{1b}[2J".to_owned(),
        ]);
        insta::assert_snapshot!(table.render(&plain()), @r"
        NAME             SIZE      NOTE
        smollm2:latest   98.4 MB
        模型             1 B       two lines[2J
        ");
    }

    #[test]
    fn a_section_is_indented_under_its_title() {
        let rows = [
            ("architecture".to_owned(), "llama".to_owned()),
            ("parameters".to_owned(), "134.52M".to_owned()),
        ];
        insta::assert_snapshot!(section(&plain(), "Model", &rows), @r"
        Model
          architecture   llama
          parameters     134.52M
        ");
    }
}
