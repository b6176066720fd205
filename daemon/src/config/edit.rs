//! Changes one setting in the text of `config.yaml`, and leaves comments, order and all other lines as they are.
//!
//! The edit works on lines, for the usual form of the file: one key per line, with indented lines below it. The result is parsed and
//! compared with the old text; unless it differs in the one setting alone, the edit is refused.

use serde_yaml::{Mapping, Value};

use super::yaml;

/// Why a text cannot be edited.
pub(super) const UNUSUAL: &str =
    "the file has a form that cannot be edited line by line; change it with `slm config edit`";

/// The text with a key set to a value. `path` has the names of the keys above it, and the key.
///
/// # Errors
/// A message for people when the text is not in the usual form.
pub(super) fn set(text: &str, path: &[&str], value: &str) -> Result<String, String> {
    let mut lines = Lines::of(text);
    let indent = match lines.find(path) {
        Found::All(block) => {
            let old = &lines.lines[block.start];
            let indent = old[..old.len() - old.trim_start().len()].to_owned();
            let comment = comment(old).to_owned();
            let key = path.last().copied().unwrap_or_default();
            let line = format!("{indent}{}: {}{comment}", plain(key), plain(value));
            lines.replace(block, vec![line]);
            None
        }
        Found::Above { depth, end, indent } => Some((depth, end, indent)),
        Found::Unusual => return Err(UNUSUAL.to_owned()),
    };
    if let Some((depth, end, mut indent)) = indent {
        let mut new = Vec::new();
        for (number, key) in path.iter().enumerate().skip(depth) {
            let spaces = " ".repeat(indent);
            let is_last = number + 1 == path.len();
            new.push(match is_last {
                true => format!("{spaces}{}: {}", plain(key), plain(value)),
                false => format!("{spaces}{}:", plain(key)),
            });
            indent += 2;
        }
        lines.replace(end..end, new);
    }
    checked(text, lines.join(), path, Some(value))
}

/// The text without a key; `None` if it does not have the key. A key above it that has no other key goes too.
///
/// # Errors
/// A message for people when the text is not in the usual form.
pub(super) fn unset(text: &str, path: &[&str]) -> Result<Option<String>, String> {
    let old = mapping(text)?;
    if lookup(&Value::Mapping(old), path).is_none() {
        return Ok(None);
    }
    let mut lines = Lines::of(text);
    // The topmost key that has only this one below it.
    let mut block = None;
    for length in (1..=path.len()).rev() {
        match lines.find(&path[..length]) {
            Found::All(found) if length == path.len() => block = Some(found),
            Found::All(found)
                if block
                    .as_ref()
                    .is_some_and(|inner| lines.is_only(&found, inner)) =>
            {
                block = Some(found);
            }
            Found::All(_) => break,
            _ => return Err(UNUSUAL.to_owned()),
        }
    }
    lines.replace(block.ok_or(UNUSUAL)?, Vec::new());
    checked(text, lines.join(), path, None).map(Some)
}

/// Compares a changed text with the old one.
fn checked(old: &str, new: String, path: &[&str], value: Option<&str>) -> Result<String, String> {
    let mut before = Value::Mapping(mapping(old)?);
    let Ok(after) = mapping(&new) else {
        return Err(UNUSUAL.to_owned());
    };
    let mut after = Value::Mapping(after);
    let found = lookup(&after, path).and_then(yaml::scalar);
    remove(&mut before, path);
    remove(&mut after, path);
    if found.as_deref() == value && before == after {
        Ok(new)
    } else {
        Err(UNUSUAL.to_owned())
    }
}

fn mapping(text: &str) -> Result<Mapping, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    yaml::read(text).map_err(|fault| match fault.line {
        Some(line) => format!("line {line}: {}", fault.problem),
        None => fault.problem,
    })
}

fn lookup<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(*key))
}

/// Removes a key, and each key above it that has none left.
fn remove(value: &mut Value, path: &[&str]) {
    let (Value::Mapping(mapping), Some((key, rest))) = (value, path.split_first()) else {
        return;
    };
    if let Some(inner) = mapping.get_mut(*key) {
        if !rest.is_empty() {
            remove(inner, rest);
        }
        let is_empty = inner.is_null() || inner.as_mapping().is_some_and(Mapping::is_empty);
        if rest.is_empty() || is_empty {
            mapping.shift_remove(*key);
        }
    }
}

/// The text of a YAML scalar that reads back as this text: without quotes where that does.
fn plain(text: &str) -> String {
    let read = serde_yaml::from_str::<Value>(text).ok();
    let reads_back = read.as_ref().and_then(yaml::scalar).as_deref() == Some(text);
    let is_one = read.is_some_and(|value| !value.is_sequence() && !value.is_null());
    let is_key = serde_yaml::from_str::<Mapping>(&format!("{text}: 1")).is_ok();
    if reads_back && is_one && is_key && !text.contains(['#', ',', '\n']) {
        text.to_owned()
    } else {
        // JSON is YAML.
        serde_json::to_string(text).unwrap_or_default()
    }
}

/// The comment at the end of a line, with the blanks before it, unless it may be a part of the value.
fn comment(line: &str) -> &str {
    let Some(at) = line.find(" #") else {
        return "";
    };
    let value = &line[..at];
    if value.contains(['"', '\'']) {
        return "";
    }
    &line[value.trim_end().len()..]
}

/// The lines of a text, without their ends.
struct Lines {
    lines: Vec<String>,
    end: &'static str,
    ends_with_newline: bool,
}

/// Where a path of keys is.
enum Found {
    /// The lines of the last key, with those below it.
    All(std::ops::Range<usize>),
    /// The first `depth` keys are there; the next one belongs before the line `end`, with this indentation.
    Above {
        depth: usize,
        end: usize,
        indent: usize,
    },
    /// A key has its value in its line, where a mapping is needed.
    Unusual,
}

impl Lines {
    fn of(text: &str) -> Self {
        Self {
            lines: text.lines().map(str::to_owned).collect(),
            end: if text.contains("\r\n") { "\r\n" } else { "\n" },
            ends_with_newline: text.is_empty() || text.ends_with('\n'),
        }
    }

    fn find(&self, path: &[&str]) -> Found {
        let mut range = 0..self.lines.len();
        let mut least = 0;
        for (depth, key) in path.iter().enumerate() {
            let inner = range.clone().find(|at| !is_blank(&self.lines[*at]));
            let indent = inner.map_or(least, |at| yaml::depth(&self.lines[at]));
            let is_key = |at: &usize| {
                let line = &self.lines[*at];
                yaml::depth(line) == indent && yaml::sets(line, key)
            };
            let Some(at) = range.clone().find(is_key) else {
                let end = self.trimmed(range);
                return Found::Above { depth, end, indent };
            };
            let end = self.trimmed(at..self.block_end(at, range.end));
            if depth + 1 == path.len() {
                return Found::All(at..end);
            }
            if !ends_key(&self.lines[at]) {
                return Found::Unusual;
            }
            (range, least) = (at + 1..end, indent + 2);
        }
        Found::Unusual
    }

    /// The first line after a key that is not below it.
    fn block_end(&self, at: usize, most: usize) -> usize {
        let indent = yaml::depth(&self.lines[at]);
        let belongs = |line: &String| {
            is_blank(line)
                || yaml::depth(line) > indent
                // A list may stand as deep as its key.
                || (yaml::depth(line) == indent && line.trim_start().starts_with('-'))
        };
        (at + 1..most)
            .find(|next| !belongs(&self.lines[*next]))
            .unwrap_or(most)
    }

    /// The end of a range without blank lines and comments at its end, which belong to what follows.
    fn trimmed(&self, range: std::ops::Range<usize>) -> usize {
        let last = range.clone().rev().find(|at| !is_blank(&self.lines[*at]));
        last.map_or(range.start, |at| at + 1)
    }

    /// Whether the lines below a key are only these.
    fn is_only(&self, outer: &std::ops::Range<usize>, inner: &std::ops::Range<usize>) -> bool {
        (outer.start + 1..outer.end).all(|at| inner.contains(&at))
    }

    fn replace(&mut self, range: std::ops::Range<usize>, new: Vec<String>) {
        self.lines.splice(range, new);
        self.ends_with_newline = true;
    }

    fn join(self) -> String {
        let mut text = self.lines.join(self.end);
        if self.ends_with_newline && !self.lines.is_empty() {
            text.push_str(self.end);
        }
        text
    }
}

fn is_blank(line: &str) -> bool {
    let inner = line.trim_start();
    inner.is_empty() || inner.starts_with('#') || line.starts_with("---")
}

/// Whether a line has a key without a value.
fn ends_key(line: &str) -> bool {
    let line = line.find(" #").map_or(line, |at| &line[..at]);
    line.trim_end().ends_with(':')
}

#[cfg(test)]
mod tests;
