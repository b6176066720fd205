//! Columns of text.

use unicode_width::UnicodeWidthStr as _;

use super::paragraph::wrap_words;
use super::{Output, clean};

/// Spaces between columns, if there is room.
const GAP: usize = 3;
/// Spaces between columns without room.
const LEAST_GAP: usize = 2;
/// The least width of wrapped values.
const LEAST_VALUE: usize = 16;

/// A way to make a table narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shrink {
    /// Use the short text of this column's cells.
    Shorten(&'static str),
    /// Drop this column.
    Drop(&'static str),
}

/// One cell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    /// The short text, if there is one.
    short: Option<String>,
}

impl Cell {
    /// A cell with a short text for a narrow terminal.
    pub(crate) fn or_short(text: impl Into<String>, short: impl Into<String>) -> Self {
        Self {
            text: one_line(&text.into()),
            short: Some(one_line(&short.into())),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text: one_line(&text),
            short: None,
        }
    }
}

/// A table with a heading, for lists of things.
///
/// A column is as wide as its widest cell, so that a name in the first column can be copied. A table wider than the terminal
/// shortens and drops columns in a given order; the first column always stays.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
    order: &'static [Shrink],
}

impl Table {
    /// A table without rows, with the order in which it becomes narrower.
    pub(crate) fn new(head: &[&str], order: &'static [Shrink]) -> Self {
        Self {
            head: head.iter().map(|&cell| cell.to_owned().into()).collect(),
            rows: Vec::new(),
            order,
        }
    }

    /// Adds a row. Cells may be foreign text: they are cleaned and made one line.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text, with a bold heading if colours are on.
    pub(crate) fn render(&self, out: &Output) -> String {
        let (rows, gap) = self.fit(out.width());
        let widths = widths(&rows);
        let mut text = String::new();
        for (index, row) in rows.iter().enumerate() {
            let line = join(row, &widths, gap);
            text.push_str(&if index == 0 { out.heading(&line) } else { line });
            text.push('\n');
        }
        text
    }

    /// All rows with the heading, made to fit `columns`.
    fn fit(&self, columns: Option<usize>) -> (Vec<Vec<String>>, usize) {
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let mut rows: Vec<Vec<Cell>> = all().cloned().collect();
        let texts = |rows: &[Vec<Cell>]| -> Vec<Vec<String>> {
            let texts = |row: &Vec<Cell>| row.iter().map(|cell| cell.text.clone()).collect();
            rows.iter().map(texts).collect()
        };
        let columns = columns.unwrap_or(usize::MAX);
        let fits = |rows: &[Vec<Cell>], gap| total(&widths(&texts(rows)), gap) <= columns;
        if fits(&rows, GAP) {
            return (texts(&rows), GAP);
        }
        for shrink in self.order {
            if fits(&rows, LEAST_GAP) {
                break;
            }
            narrow(&mut rows, *shrink);
        }
        (texts(&rows), LEAST_GAP)
    }
}

fn narrow(rows: &mut [Vec<Cell>], shrink: Shrink) {
    let (Shrink::Shorten(name) | Shrink::Drop(name)) = shrink;
    let Some(index) = rows[0].iter().position(|cell| cell.text == name) else {
        return;
    };
    for row in rows {
        match shrink {
            Shrink::Drop(_) => {
                row.remove(index);
            }
            Shrink::Shorten(_) => {
                if let Some(short) = row[index].short.take() {
                    row[index].text = short;
                }
            }
        }
    }
}

/// A titled block of names and values, indented, for the details of one thing.
///
/// Values wider than the terminal are wrapped.
pub(crate) fn section(out: &Output, title: &str, rows: &[(String, String)]) -> String {
    let heading = out.heading(title);
    format!("  {heading}\n{}", block(rows, out.width()))
}

fn block(rows: &[(String, String)], columns: Option<usize>) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(name, value)| vec![one_line(name), one_line(value)])
        .collect();
    let widths = widths(&rows);
    let lines = rows.iter().flat_map(|row| detail(row, &widths, columns));
    lines.map(|line| line + "\n").collect()
}

/// The lines of one name and its value.
fn detail(row: &[String], widths: &[usize], columns: Option<usize>) -> Vec<String> {
    const INDENT: &str = "    ";
    let line = format!("{INDENT}{}", join(row, widths, GAP));
    let Some(columns) = columns.filter(|&columns| line.width() > columns) else {
        return vec![line];
    };
    let (name, value) = (&row[0], &row[1]);
    let column = INDENT.len() + widths[0] + GAP;
    let below = format!("{INDENT}  ");
    if value.is_empty() {
        wrap_words(name, columns, INDENT, INDENT)
    } else if column + LEAST_VALUE <= columns {
        let head = format!("{INDENT}{}", padded(name, widths[0] + GAP));
        wrap_words(value, columns, &head, &" ".repeat(column))
    } else {
        let mut lines = vec![format!("{INDENT}{name}")];
        lines.extend(wrap_words(value, columns, &below, &below));
        lines
    }
}

fn one_line(cell: &str) -> String {
    clean(cell).replace(['\n', '\t'], " ")
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    widths
}

/// Columns of the widest line.
fn total(widths: &[usize], gap: usize) -> usize {
    widths.iter().sum::<usize>() + gap * widths.len().saturating_sub(1)
}

/// Pads all cells but the last, so that no line ends in spaces.
fn join(row: &[String], widths: &[usize], gap: usize) -> String {
    let mut text = String::new();
    for (cell, width) in row.iter().zip(widths) {
        text.push_str(&padded(cell, width + gap));
    }
    text.truncate(text.trim_end_matches(' ').len());
    text
}

fn padded(cell: &str, width: usize) -> String {
    let spaces = width.saturating_sub(cell.width());
    format!("{cell}{}", " ".repeat(spaces))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Color, OutputMode};

    fn plain() -> Output {
        Output::new(
            OutputMode {
                color: Color::Never,
                ..OutputMode::default()
            },
            &[],
        )
    }

    fn cells<const N: usize>(texts: [&str; N]) -> [Cell; N] {
        texts.map(|text| text.to_owned().into())
    }

    #[test]
    fn columns_line_up_with_wide_letters_and_hostile_cells() {
        let mut table = Table::new(&["NAME", "SIZE", "NOTE"], &[]);
        table.row(cells(["smollm2:latest", "98.4 MB", ""]));
        table.row(cells(["模型", "1 B", "two\nlines\u{1b}[2J"]));
        insta::assert_snapshot!(table.render(&plain()), @r"
        NAME             SIZE      NOTE
        smollm2:latest   98.4 MB
        模型             1 B       two lines[2J
        ");
    }

    fn narrow_table(columns: usize) -> String {
        let order = &[
            Shrink::Shorten("WHERE"),
            Shrink::Drop("ID"),
            Shrink::Drop("WHERE"),
        ];
        let mut table = Table::new(&["NAME", "ID", "WHERE"], order);
        let [name, id] = cells(["smollm2:latest", "b179c9523d0e"]);
        table.row([name, id, Cell::or_short("100% CPU (zen4)", "100% CPU")]);
        let (rows, gap) = table.fit(Some(columns));
        let widths = widths(&rows);
        let lines: Vec<_> = rows.iter().map(|row| join(row, &widths, gap)).collect();
        lines.join("\n")
    }

    #[test]
    fn a_table_drops_no_more_columns_than_needed() {
        insta::assert_snapshot!(narrow_table(47), @r"
        NAME             ID             WHERE
        smollm2:latest   b179c9523d0e   100% CPU (zen4)
        ");
        insta::assert_snapshot!(narrow_table(45), @r"
        NAME            ID            WHERE
        smollm2:latest  b179c9523d0e  100% CPU (zen4)
        ");
        insta::assert_snapshot!(narrow_table(44), @r"
        NAME            ID            WHERE
        smollm2:latest  b179c9523d0e  100% CPU
        ");
        insta::assert_snapshot!(narrow_table(30), @r"
        NAME            WHERE
        smollm2:latest  100% CPU
        ");
        insta::assert_snapshot!(narrow_table(10), @r"
        NAME
        smollm2:latest
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

    #[test]
    fn long_values_are_wrapped() {
        let value = "You are a pirate who answers in rhymes.".to_owned();
        let rows = [("system".to_owned(), value.clone())];
        insta::assert_snapshot!(block(&rows, Some(34)), @r"
        system   You are a pirate who
                 answers in rhymes.
        ");
        insta::assert_snapshot!(block(&rows, Some(24)), @r"
        system
          You are a pirate
          who answers in
          rhymes.
        ");
        insta::assert_snapshot!(block(&[(value, String::new())], Some(24)), @r"
        You are a pirate who
        answers in rhymes.
        ");
    }
}
