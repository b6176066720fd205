//! Parses `config.yaml`, and finds the line of a mistake.

use serde_yaml::{Mapping, Value};

/// A mistake in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Its line, from 1; `None` if it is in no single line.
    pub(super) line: Option<usize>,
    /// The mistake and the remedy.
    pub(super) problem: String,
}

/// Reads the settings; an empty text has none.
///
/// # Errors
/// [`Fault`] when the text is not YAML, or its top level is not a mapping.
pub(super) fn read(text: &str) -> Result<Mapping, Fault> {
    match serde_yaml::from_str(text) {
        Ok(Value::Null) => Ok(Mapping::new()),
        Ok(Value::Mapping(mapping)) => Ok(mapping),
        Ok(_) => Err(known(text).unwrap_or_else(|| no_setting(None))),
        Err(error) => Err(known(text).unwrap_or_else(|| Fault {
            line: error.location().map(|location| location.line()),
            problem: error.to_string(),
        })),
    }
}

/// The value of a setting as the text of an option or variable; `None` for a mapping or a nested list.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        Value::Sequence(items) => {
            let texts: Option<Vec<String>> = items
                .iter()
                .map(|item| scalar(item).filter(|_| !item.is_sequence()))
                .collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}

/// Line of a top-level key, from 1.
pub(super) fn line_of(text: &str, key: &str) -> usize {
    lines_of(text, key).next().unwrap_or(1)
}

/// Numbers of the lines that set this key, from 1.
fn lines_of(text: &str, key: &str) -> impl Iterator<Item = usize> {
    text.lines().zip(1..).filter_map(move |(line, number)| {
        line.trim_start_matches(['"', '\''])
            .strip_prefix(key)
            .is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'))
            .then_some(number)
    })
}

/// Line of a nested key, from 1. A key inside of braces (`a: {b: 1}`) has the line of the nearest ancestor that begins a line.
pub(super) fn line_below(text: &str, path: &[&str]) -> usize {
    let mut lines = text.lines().zip(1..).peekable();
    let mut found = 1;
    let mut parent = None;
    for key in path {
        let mut indent = None;
        while let Some((line, number)) = lines.next_if(|(line, _)| belongs_to(line, parent)) {
            if sets(line, key) {
                (found, indent) = (number, Some(depth(line)));
                break;
            }
        }
        if indent.is_none() {
            break;
        }
        parent = indent;
    }
    found
}

/// Whether a line is empty, a comment, or deeper than this.
fn belongs_to(line: &str, parent: Option<usize>) -> bool {
    let inner = line.trim_start();
    inner.is_empty() || inner.starts_with('#') || parent.is_none_or(|parent| depth(line) > parent)
}

/// Bytes of blanks before a line.
pub(super) fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether a line sets this key. The key may have a colon in it.
pub(super) fn sets(line: &str, key: &str) -> bool {
    let line = line.trim_start().trim_start_matches(['"', '\'']);
    let rest = line
        .strip_prefix(key)
        .map(|rest| rest.trim_start_matches(['"', '\'', ' ']));
    let rest = rest.and_then(|rest| rest.strip_prefix(':'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// Common mistakes. The parser reports some of them with another line, and accepts others.
fn known(text: &str) -> Option<Fault> {
    text.lines()
        .zip(1..)
        .find_map(|(line, number)| tab(line, number).or_else(|| colon(line, number)))
        .or_else(|| twice(text))
}

fn tab(line: &str, number: usize) -> Option<Fault> {
    let blank = line.len() - line.trim_start().len();
    line[..blank].contains('\t').then(|| Fault {
        line: Some(number),
        problem: "begins with a tab; use spaces".into(),
    })
}

fn colon(line: &str, number: usize) -> Option<Fault> {
    // An indented line or a list item belongs to a line above.
    let is_own = !line.starts_with([' ', '#', '-', '%', '{', '}', '[', ']']) && line != "...";
    let line = line.split(" #").next().unwrap_or_default().trim_end();
    let is_setting = line.contains(": ") || line.contains(":\t") || line.ends_with(':');
    (is_own && !line.is_empty() && !is_setting).then(|| no_setting(Some(number)))
}

fn no_setting(line: Option<usize>) -> Fault {
    let problem = match line {
        Some(_) => "must be `key: value`, with a colon and a blank between them",
        None => "must be a list of `key: value` lines",
    };
    Fault {
        line,
        problem: problem.into(),
    }
}

fn twice(text: &str) -> Option<Fault> {
    text.lines().find_map(|line| {
        let (key, _) = line.split_once(':')?;
        let key = key.trim_end().trim_matches(['"', '\'']);
        if key.is_empty() || key.starts_with([' ', '#', '-']) {
            return None;
        }
        let mut lines = lines_of(text, key);
        let (first, again) = (lines.next()?, lines.next()?);
        Some(Fault {
            line: Some(again),
            problem: format!("the key {key:?} is set in line {first} already; keep one of them"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (Option<usize>, String) {
        let fault = read(text).unwrap_err();
        (fault.line, fault.problem)
    }

    #[test]
    fn a_mistake_has_its_line() {
        let setting = "must be `key: value`, with a colon and a blank between them";
        for (text, line, problem) in [
            ("port: 1\nthreads 2\n", 2, setting),
            ("# x\nthreads 2\nport: 1\n", 2, setting),
            ("port: 1\nthreads:2 # two\nlog: info\n", 2, setting),
            ("just text\n", 1, setting),
            (
                "port: 1\n\tthreads: 2\n",
                2,
                "begins with a tab; use spaces",
            ),
            (
                "allowed_hosts:\n \t- a\nport: 1\n",
                2,
                "begins with a tab; use spaces",
            ),
            (
                "port: 1\nthreads: 1\n\"port\" : 2\n",
                3,
                "the key \"port\" is set in line 1 already; keep one of them",
            ),
        ] {
            assert_eq!(fault(text), (Some(line), problem.to_owned()), "{text:?}");
        }
        assert_eq!(fault("port: 1\nthreads: [1\n").0, Some(3));
    }

    #[test]
    fn a_file_without_settings_is_refused_with_their_form() {
        let wanted = (None, "must be a list of `key: value` lines".to_owned());
        assert_eq!(fault("- a\n- b\n"), wanted);
        assert_eq!(fault("[a]"), wanted);
    }

    #[test]
    fn all_forms_of_yaml_are_read() {
        for text in [
            "",
            "# nothing\n",
            "---\nport: 1\n",
            "{port: 1}",
            "allowed_hosts:\n- a\n-  b\n",
            "log: >\n  info\n",
            "port:\t1\n",
        ] {
            assert!(read(text).is_ok(), "{text:?}");
        }
    }
}
