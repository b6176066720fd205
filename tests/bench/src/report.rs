//! A measured part as text and as a plot.

use std::fmt::Write;
use std::time::Duration;

use super::parts::Part;
use super::plot::{self, Bar, Panel};
use super::row::{Outcome, Row};
use super::sides::Sides;
use crate::machine::Machine;
use installer::say;

/// A part of the page.
#[derive(Debug)]
pub(super) struct Section {
    /// Which.
    pub(super) part: Part,
    /// The machine.
    pub(super) machine: Machine,
    /// The instructions of each side.
    pub(super) sides: Sides,
    /// The duration of the measurement.
    pub(super) took: Duration,
    /// Model, number of runs, and outcome.
    pub(super) findings: Vec<(&'static str, usize, Outcome)>,
}

impl Section {
    /// The text between the markers of the part.
    pub(super) fn text(&self) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "Measured on {} at commit {} in {}: {}, {}, Linux {}, load {} before.\n",
            machine.date,
            machine.commit,
            say::duration(self.took),
            machine.processor,
            machine.memory,
            machine.kernel,
            machine.load,
        );
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        line(format!(
            "Command: `cargo xtask bench --part {}`.",
            self.part.name()
        ));
        let rows: Vec<(&str, &Row)> = self.rows().collect();
        line(self.instructions(&rows));
        if !rows.is_empty() {
            line(format!(
                "Each cell is a median of {} (smallest to largest).",
                self.runs()
            ));
        }
        self.notes().into_iter().for_each(&mut line);
        if !rows.is_empty() {
            line(String::new());
            line(table(&rows));
            line(format!("![{}]({})", self.part.title(), self.plot_name()));
        }
        text
    }

    /// `slm computed with …, llama.cpp with …`; the other only where it was measured.
    fn instructions(&self, rows: &[(&str, &Row)]) -> String {
        let compared = rows.iter().any(|(_, row)| {
            let mut beside = row.beside.iter();
            beside.any(|beside| beside.name.starts_with("llama"))
        });
        let slm = &self.sides.slm;
        match &self.sides.llama {
            Some(llama) if compared => {
                format!("slm computed with `{slm}`, llama.cpp's programs with {llama}.")
            }
            _ => format!("slm computed with `{slm}`."),
        }
    }

    /// The plot of all figures, if there are any.
    pub(super) fn plot(&self) -> Option<String> {
        let panels: Vec<Panel> = self.rows().map(|(model, row)| panel(model, row)).collect();
        (!panels.is_empty()).then(|| plot::svg(self.part.title(), &panels))
    }

    /// Path of the plot beside the page.
    pub(super) fn plot_name(&self) -> String {
        format!("benchmarks/{}.svg", self.part.name())
    }

    /// The notes: once if a note holds for every model, else with its models.
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<(String, Vec<&str>)> = Vec::new();
        for (model, _, outcome) in &self.findings {
            let said = match outcome {
                Outcome::Measured { notes, .. } => notes.clone(),
                Outcome::NotThere(why) => vec![format!("not there yet: {why}")],
            };
            for note in said {
                match notes.iter_mut().find(|(known, _)| *known == note) {
                    Some((_, models)) => models.push(model),
                    None => notes.push((note, vec![model])),
                }
            }
        }
        let all = self.findings.len();
        notes
            .into_iter()
            .map(|(note, models)| {
                if models.len() == all {
                    capitalised(&note)
                } else {
                    format!("{}: {note}", models.join(", "))
                }
            })
            .collect()
    }

    fn rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.findings.iter().flat_map(|(model, _, outcome)| {
            let rows = match outcome {
                Outcome::Measured { rows, .. } => rows.as_slice(),
                Outcome::NotThere(_) => &[],
            };
            rows.iter().map(move |row| (*model, row))
        })
    }

    /// `5 runs`, or `5 runs on smollm2, 3 runs on qwen3-q8` where they differ.
    fn runs(&self) -> String {
        let first = self.findings.first().map_or(0, |(_, runs, _)| *runs);
        if self.findings.iter().all(|(_, runs, _)| *runs == first) {
            return format!("{first} runs");
        }
        let each = self
            .findings
            .iter()
            .map(|(model, runs, _)| format!("{runs} runs on {model}"));
        each.collect::<Vec<_>>().join(", ")
    }
}

fn table(rows: &[(&str, &Row)]) -> String {
    let mut table = String::from(
        "| model | measurement | slm | compared with | value | ratio | target |\n|---|---|---|---|---|---|---|\n",
    );
    for (model, row) in rows {
        let slm = row.slm.spread(row.decimals);
        if row.beside.is_empty() {
            let _ = writeln!(table, "| {model} | {} | {slm} | | | | |", row.what);
        }
        for beside in &row.beside {
            let _ = writeln!(
                table,
                "| {model} | {} | {slm} | {} | {} | {:.2} |{} |",
                row.what,
                beside.name,
                beside.samples.spread(row.decimals),
                row.ratio(beside),
                spaced(&row.verdict(beside)),
            );
        }
    }
    table
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

/// The text with a leading space, unless it is empty.
fn spaced(cell: &str) -> String {
    if cell.is_empty() {
        String::new()
    } else {
        format!(" {cell}")
    }
}

fn panel(model: &str, row: &Row) -> Panel {
    let bar = |name: &str, samples: &super::statistics::Samples| Bar {
        name: name.to_owned(),
        median: samples.median(),
        smallest: samples.smallest(),
        largest: samples.largest(),
    };
    let others = row
        .beside
        .iter()
        .map(|beside| bar(beside.name, &beside.samples));
    Panel {
        // The marks of code are for the page.
        title: format!("{model}: {}", row.what.replace('`', "")),
        better: row.better,
        decimals: row.decimals,
        bars: std::iter::once(bar("slm", &row.slm))
            .chain(others)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Better;
    use crate::statistics::Samples;

    fn section(findings: Vec<(&'static str, usize, Outcome)>) -> Section {
        Section {
            part: Part::Memory,
            machine: Machine {
                commit: "abc1234".to_owned(),
                date: "2026-11-21".to_owned(),
                processor: "Quick One, 2 threads".to_owned(),
                memory: "24 GiB".to_owned(),
                kernel: "6.18".to_owned(),
                load: "0.01".to_owned(),
            },
            sides: Sides {
                slm: "CPU (zen4)".to_owned(),
                llama: Some("AVX2, AVX512".to_owned()),
            },
            took: Duration::from_secs(61),
            findings,
        }
    }

    fn samples(values: [f64; 3]) -> Samples {
        values.into_iter().collect()
    }

    #[test]
    fn a_part_reads_as_sentences_and_a_table() {
        let rows = vec![
            Row::new(
                "resident, MiB",
                0,
                Better::Less,
                samples([100.0, 90.0, 110.0]),
            )
            .beside("llama-server", samples([200.0, 200.0, 210.0]), Some(1.0))
            .beside("nothing", Samples::default(), None),
            Row::new("daemon, MiB", 1, Better::Less, samples([11.0, 12.0, 13.0])),
        ];
        let notes = vec!["context 2048.".to_owned()];
        let section = section(vec![("smollm2", 3, Outcome::Measured { rows, notes })]);
        assert_eq!(
            section.text(),
            "\
Measured on 2026-11-21 at commit abc1234 in 1 min 01 s: Quick One, 2 threads, 24 GiB, Linux 6.18, load 0.01 before.
Command: `cargo xtask bench --part memory`.
slm computed with `CPU (zen4)`, llama.cpp's programs with AVX2, AVX512.
Each cell is a median of 3 runs (smallest to largest).
Context 2048.

| model | measurement | slm | compared with | value | ratio | target |
|---|---|---|---|---|---|---|
| smollm2 | resident, MiB | 100 (90 to 110) | llama-server | 200 (200 to 210) | 0.50 | ≤ 1.00: yes |
| smollm2 | daemon, MiB | 12.0 (11.0 to 13.0) | | | | |

![Memory](benchmarks/memory.svg)
"
        );
        assert!(
            section
                .plot()
                .is_some_and(|plot| plot.contains("llama-server"))
        );
    }

    #[test]
    fn what_is_not_there_has_neither_table_nor_plot() {
        let why = "there is no route `/api/embed`.".to_owned();
        let section = section(vec![("smollm2", 3, Outcome::NotThere(why))]);
        let text = section.text();
        assert!(text.ends_with("\nNot there yet: there is no route `/api/embed`.\n"));
        assert!(!text.contains("median"));
        assert!(section.plot().is_none());
    }

    #[test]
    fn a_note_of_all_models_stands_once() {
        let measured = |notes: [&str; 2]| Outcome::Measured {
            rows: Vec::new(),
            notes: notes.map(str::to_owned).to_vec(),
        };
        let section = section(vec![
            (
                "a",
                3,
                measured(["prompts of 64 tokens.", "7 were the same."]),
            ),
            (
                "b",
                3,
                measured(["prompts of 64 tokens.", "8 were the same."]),
            ),
        ]);
        assert_eq!(
            section.notes(),
            [
                "Prompts of 64 tokens.",
                "a: 7 were the same.",
                "b: 8 were the same."
            ]
        );
    }

    #[test]
    fn runs_are_named_per_model_where_they_differ() {
        let nothing = || Outcome::NotThere(String::new());
        let same = section(vec![("a", 5, nothing()), ("b", 5, nothing())]);
        assert_eq!(same.runs(), "5 runs");
        let different = section(vec![("a", 5, nothing()), ("b", 3, nothing())]);
        assert_eq!(different.runs(), "5 runs on a, 3 runs on b");
    }
}
