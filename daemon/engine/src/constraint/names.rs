//! The names of members in the objects of an answer: no object has a name twice.
//!
//! A grammar cannot forbid the repetition of a name that may be any text. So this module tracks the JSON of an answer.

use std::{collections::BTreeSet, sync::Arc};

/// Tracks the names in JSON. It does not check the syntax, because the grammar does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The open objects and arrays, the outermost first.
    levels: Vec<Level>,
    text: Text,
    /// Whether other text surrounds the JSON. Then it starts with an object.
    is_amid: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Array,
    Object {
        /// Shared, because each tried token makes a copy.
        names: Arc<BTreeSet<Vec<u8>>>,
        next: Next,
    },
}

/// The next part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Name,
    Colon,
    /// A value, or the text after one.
    Value,
}

/// The open string.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    None,
    Value {
        is_escaped: bool,
    },
    /// A name, with its bytes so far.
    Name {
        written: Vec<u8>,
        is_escaped: bool,
    },
}

/// An object has a name twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeated;

impl Names {
    /// An answer that is JSON.
    pub(super) fn of_json() -> Self {
        Self::new(false)
    }

    /// An answer with JSON in it.
    pub(super) fn amid_text() -> Self {
        Self::new(true)
    }

    fn new(is_amid: bool) -> Self {
        Self {
            levels: Vec::new(),
            text: Text::None,
            is_amid,
        }
    }

    /// Advances by these bytes.
    ///
    /// # Errors
    /// [`Repeated`] when they complete a name that the object has.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Repeated> {
        bytes.iter().try_for_each(|byte| self.step(*byte))
    }

    /// The state after these bytes.
    ///
    /// # Errors
    /// As [`Names::push`].
    pub(super) fn after(&self, bytes: &[u8]) -> Result<Self, Repeated> {
        let mut after = self.clone();
        after.push(bytes).map(|()| after)
    }

    /// Whether the next member name may repeat a name of the object.
    pub(super) fn may_repeat(&self) -> bool {
        let Some(Level::Object { names, next }) = self.levels.last() else {
            return false;
        };
        match &self.text {
            Text::None => *next == Next::Name && !names.is_empty(),
            Text::Value { .. } => false,
            // The character of an escape is known at its end.
            Text::Name { written, .. } if written.contains(&b'\\') => !names.is_empty(),
            Text::Name { written, .. } => names.iter().any(|name| name.starts_with(written)),
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), Repeated> {
        match &mut self.text {
            Text::None => self.structure(byte),
            Text::Value { is_escaped } | Text::Name { is_escaped, .. }
                if byte == b'"' && !*is_escaped =>
            {
                return self.close();
            }
            Text::Value { .. } | Text::Name { .. } if byte < b' ' => self.leave(),
            Text::Value { is_escaped } => *is_escaped = byte == b'\\' && !*is_escaped,
            Text::Name {
                written,
                is_escaped,
            } => {
                *is_escaped = byte == b'\\' && !*is_escaped;
                written.push(byte);
            }
        }
        Ok(())
    }

    fn structure(&mut self, byte: u8) {
        let is_outside = self.levels.is_empty();
        let next = match self.levels.last_mut() {
            Some(Level::Object { next, .. }) => next,
            Some(Level::Array) | None => &mut Next::Value,
        };
        match (byte, *next) {
            (b'{', Next::Value) => self.levels.push(Level::Object {
                names: Arc::default(),
                next: Next::Name,
            }),
            _ if is_outside && self.is_amid => {}
            (b'[', Next::Value) => self.levels.push(Level::Array),
            (b'}', Next::Name | Next::Value) | (b']', Next::Value) => {
                self.levels.pop();
            }
            (b',', Next::Value) => *next = Next::Name,
            (b':', Next::Colon) => *next = Next::Value,
            (b'"', Next::Name) => {
                self.text = Text::Name {
                    written: Vec::new(),
                    is_escaped: false,
                };
            }
            (b'"', Next::Value) => self.text = Text::Value { is_escaped: false },
            (b' ' | b'\t' | b'\n' | b'\r', _) => {}
            (b'+' | b'-' | b'.' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9', Next::Value) => {}
            _ => self.leave(),
        }
    }

    /// The text here is not JSON.
    fn leave(&mut self) {
        self.levels.clear();
        self.text = Text::None;
    }

    /// The end of a string.
    fn close(&mut self) -> Result<(), Repeated> {
        let text = std::mem::replace(&mut self.text, Text::None);
        let (Text::Name { written, .. }, Some(Level::Object { names, next })) =
            (text, self.levels.last_mut())
        else {
            return Ok(());
        };
        *next = Next::Colon;
        match Arc::make_mut(names).insert(read(written)) {
            true => Ok(()),
            false => Err(Repeated),
        }
    }
}

/// A name with its escapes decoded.
fn read(written: Vec<u8>) -> Vec<u8> {
    if !written.contains(&b'\\') {
        return written;
    }
    let quoted = [b"\"", written.as_slice(), b"\""].concat();
    match serde_json::from_slice::<String>(&quoted) {
        Ok(name) => name.into_bytes(),
        // Half of a surrogate pair is kept as it is.
        Err(_) => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(mut names: Names, text: &str, size: usize) -> Result<Names, Repeated> {
        for piece in text.as_bytes().chunks(size) {
            names = names.after(piece)?;
        }
        Ok(names)
    }

    #[test]
    fn a_repeated_name_is_found() {
        for (text, repeats) in [
            (r#"{"a": 1, "b": 2}"#, false),
            (r#"{"a": 1, "a"#, false),
            (r#"{"a": 1, "a""#, true),
            (
                r#"{"a": {"a": [{"a": "a"}, {"a": -1.5e+3}]}, "b": "a"}"#,
                false,
            ),
            (r#"{"a": {"b": [{}, {"c": 1, "c""#, true),
            (r#"{"a": {"b": 1}, "b": {}, "a""#, true),
            (r#"{"a": "\",\"a\":", "b": 1}"#, false),
            (r#"{"a\"": 1, "a": 2, "a\\": 3}"#, false),
            (r#"{"a": 1, "\u0061""#, true),
            (r#"{"é": 1, "\u00e9""#, true),
            (r#"{"\ud83d": 1, "\ud83e": 2}"#, false),
            (r#"["a", "a", {"a": 1}, {"a": 1}]"#, false),
            (r#""{\"a\":1,\"a\":1}""#, false),
        ] {
            for size in 1..20 {
                let followed = follow(Names::of_json(), text, size);
                assert_eq!(followed.is_err(), repeats, "{text} by {size}");
            }
        }
    }

    #[test]
    fn in_other_text_only_objects_are_tracked() {
        for (text, repeats) in [
            (
                r#"It's "{" and { "<call>{"a": 1, "b": "{"}</call><call>{"a": 1}"#,
                false,
            ),
            (
                r#"<think>{"a": "b</think>
<call>{"a": {"b": 1, "b""#,
                true,
            ),
            (r#"[{"a": 1}, {"a": 1, "a""#, true),
        ] {
            let followed = follow(Names::amid_text(), text, 3);
            assert_eq!(followed.is_err(), repeats, "{text}");
        }
    }

    #[test]
    fn it_is_known_when_the_next_name_may_be_another() {
        for (text, may_repeat) in [
            (r#"{"#, false),
            (r#"{"ab": 1"#, false),
            (r#"{"ab": 1, "#, true),
            (r#"{"ab": 1, "a"#, true),
            (r#"{"ab": 1, "ab"#, true),
            (r#"{"ab": 1, "b"#, false),
            (r#"{"ab": 1, "abc"#, false),
            (r#"{"ab": 1, "\u006"#, true),
            (r#"{"ab": "a"#, false),
            (r#"{"ab": {"a"#, false),
        ] {
            let names = follow(Names::of_json(), text, 1).unwrap();
            assert_eq!(names.may_repeat(), may_repeat, "{text}");
        }
    }
}
