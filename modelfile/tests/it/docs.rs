//! The reference page agrees with the code.

use std::fmt::Write as _;

use modelfile::parameter::{Kind, Reload, retired, specs};
use modelfile::{Keyword, parse};

const PAGE: &str = include_str!("../../../docs/modelfile.md");

/// The parameter table of the page.
fn parameter_table() -> String {
    let mut table =
        "| Name | Type | Range | Default | Reloads | Meaning |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for spec in specs() {
        let (kind, range) = match &spec.kind {
            Kind::Int(range) if *range == (i64::MIN..=i64::MAX) => {
                ("whole number", "any of 64 bits".to_owned())
            }
            Kind::Int(range) => (
                "whole number",
                format!("{} to {}", range.start(), range.end()),
            ),
            Kind::Float(range) => ("number", format!("{} to {}", range.start(), range.end())),
            Kind::Bool => ("boolean", "`true`, `false`".to_owned()),
            Kind::TextList => (
                "list of strings",
                "at most 64 of 1 to 1024 bytes".to_owned(),
            ),
        };
        let reload = match spec.reload {
            Reload::Yes => "yes",
            Reload::No => "no",
        };
        let (name, default, description) = (spec.name, spec.default, spec.description);
        writeln!(
            table,
            "| `{name}` | {kind} | {range} | {default} | {reload} | {description} |"
        )
        .expect("a string takes all");
    }
    table
}

fn retired_table() -> String {
    let mut table = "| Name | Instead |\n|---|---|\n".to_owned();
    for entry in retired() {
        writeln!(table, "| `{}` | {} |", entry.name, entry.reason).expect("a string takes all");
    }
    table
}

#[test]
fn the_tables_of_the_page_are_those_of_the_code() {
    for table in [parameter_table(), retired_table()] {
        assert!(
            PAGE.contains(&table),
            "docs/modelfile.md must hold this table:\n{table}"
        );
    }
}

#[test]
fn the_page_has_a_row_for_every_instruction() {
    for keyword in Keyword::ALL {
        assert!(PAGE.contains(&format!("\n| `{keyword}` |")), "{keyword}");
    }
}

#[test]
fn the_examples_of_the_page_parse_without_warnings() {
    let examples: Vec<_> = PAGE
        .split("```modelfile\n")
        .skip(1)
        .map(|rest| rest.split_once("```\n").expect("the example is closed").0)
        .collect();
    assert!(examples.len() >= 4, "the page has lost its examples");
    for example in examples {
        let parsed = parse(example).unwrap_or_else(|findings| panic!("{findings}"));
        assert!(parsed.warnings.is_empty(), "{}", parsed.warnings);
    }
}

#[test]
fn the_page_names_the_limits_of_the_code() {
    assert_eq!(modelfile::MAX_BYTES, 4 * 1024 * 1024);
    assert!(PAGE.contains("4 MiB"));
    assert_eq!(modelfile::parameter::MAX_TEXTS, 64);
    assert_eq!(modelfile::parameter::MAX_TEXT_BYTES, 1024);
}
