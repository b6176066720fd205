//! The keys of the translated file. They start as a copy of the keys of the source.

use super::Error;
use super::source::{Source, Span, within, wrong_key};
use crate::gguf::{Array, Entry, Value, ValueType};

/// Most bytes of all keys together. The largest real ones, with 450,000 pairs of tokens, take 20 MB.
const MOST: u64 = 128 << 20;

/// A value as it stands in a file.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    kind: ValueType,
    place: ValueBytes,
}

#[derive(Debug, Clone)]
enum ValueBytes {
    Source(Span),
    Here(Vec<u8>),
}

impl Stored {
    /// The value of a key of the source.
    fn of(entry: &Entry) -> Self {
        let span = Span::new(entry.offset, entry.end - entry.offset);
        Self {
            kind: entry.value.kind(),
            place: ValueBytes::Source(span),
        }
    }

    fn here(kind: ValueType, bytes: Vec<u8>) -> Self {
        let place = ValueBytes::Here(bytes);
        Self { kind, place }
    }

    fn list(kind: ValueType, count: u64, elements: impl IntoIterator<Item = u8>) -> Self {
        let mut bytes = kind.id().to_le_bytes().to_vec();
        bytes.extend(count.to_le_bytes());
        bytes.extend(elements);
        Self::here(ValueType::Array, bytes)
    }
}

impl From<u32> for Stored {
    fn from(value: u32) -> Self {
        Self::here(ValueType::U32, value.to_le_bytes().to_vec())
    }
}

impl From<f32> for Stored {
    fn from(value: f32) -> Self {
        Self::here(ValueType::F32, value.to_le_bytes().to_vec())
    }
}

impl From<bool> for Stored {
    fn from(value: bool) -> Self {
        Self::here(ValueType::Bool, vec![value.into()])
    }
}

impl From<&str> for Stored {
    fn from(value: &str) -> Self {
        let mut bytes = (value.len() as u64).to_le_bytes().to_vec();
        bytes.extend(value.as_bytes());
        Self::here(ValueType::String, bytes)
    }
}

impl From<&[u8]> for Stored {
    fn from(values: &[u8]) -> Self {
        let elements = values.iter().copied();
        Self::list(ValueType::U8, values.len() as u64, elements)
    }
}

impl From<&[i32]> for Stored {
    fn from(values: &[i32]) -> Self {
        let elements = values.iter().flat_map(|value| value.to_le_bytes());
        Self::list(ValueType::I32, values.len() as u64, elements)
    }
}

impl From<&[f32]> for Stored {
    fn from(values: &[f32]) -> Self {
        let elements = values.iter().flat_map(|value| value.to_le_bytes());
        Self::list(ValueType::F32, values.len() as u64, elements)
    }
}

impl From<&[bool]> for Stored {
    fn from(values: &[bool]) -> Self {
        let elements = values.iter().map(|value| u8::from(*value));
        Self::list(ValueType::Bool, values.len() as u64, elements)
    }
}

/// Keys with their values, in order.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<(String, Stored)>);

impl Keys {
    /// Every key of the source that `keep` wants; never the alignment, because the new file has its own.
    pub(super) fn of(source: &Source<'_>, keep: impl Fn(&str) -> bool) -> Self {
        let entries = source.view.0.metadata.iter();
        let kept = entries.filter(|entry| entry.key != "general.alignment" && keep(&entry.key));
        Self(
            kept.map(|entry| (entry.key.clone(), Stored::of(entry)))
                .collect(),
        )
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(known, _)| known == key)
    }

    /// Sets a key.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Stored>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Writes a key that is not there.
    pub(super) fn inject(&mut self, key: &str, value: impl Into<Stored>) {
        if !self.has(key) {
            self.set(key, value);
        }
    }

    pub(super) fn remove(&mut self, fits: impl Fn(&str) -> bool) {
        self.0.retain(|(key, _)| !fits(key));
    }

    /// Gives the value of one key to another, unless that has one.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if self.has(to) {
            self.remove(|key| key == from);
        } else if let Some((key, _)) = self.0.iter_mut().find(|(known, _)| known == from) {
            to.clone_into(key);
        }
    }

    /// The same for every key with this prefix.
    pub(super) fn rename_prefix(&mut self, from: &str, to: &str) {
        let begin = |key: &String| Some((key.clone(), format!("{to}{}", key.strip_prefix(from)?)));
        let renamed: Vec<_> = self.0.iter().filter_map(|(key, _)| begin(key)).collect();
        for (old, new) in renamed {
            self.rename(&old, &new);
        }
    }

    /// Gives a key that is not there the value of one of the source, if that is there.
    pub(super) fn copy(&mut self, source: &Source<'_>, from: &str, to: &str) {
        if let Some(entry) = source.view.0.metadata.entry(from) {
            self.inject(to, Stored::of(entry));
        }
    }

    /// Truncates a list of the source; a value that is not a list, or is short enough, stays.
    pub(super) fn cut(&mut self, source: &Source<'_>, key: &str, count: u64) -> Result<(), Error> {
        let Some(Value::Array(list)) = source.view.0.metadata.get(key) else {
            return Ok(());
        };
        if list.len <= count {
            return Ok(());
        }
        let length = match list.kind {
            ValueType::String => texts(source, key, list, count)?.1,
            kind => count * kind.least_bytes(),
        };
        let elements = source.read(Span::new(list.offset, length))?;
        self.set(key, Stored::list(list.kind, count, elements));
        Ok(())
    }

    /// Every key with its value's type and bytes.
    pub(super) fn write(
        &self,
        source: &Source<'_>,
        mut out: impl FnMut(&str, ValueType, &[u8]),
    ) -> Result<(), Error> {
        let length = |stored: &Stored| match &stored.place {
            ValueBytes::Source(span) => span.length,
            ValueBytes::Here(bytes) => bytes.len() as u64,
        };
        let all = self.0.iter().map(|(_, stored)| length(stored));
        within(
            "the bytes of all keys",
            all.fold(0, u64::saturating_add),
            MOST,
        )?;
        for (key, stored) in &self.0 {
            match &stored.place {
                ValueBytes::Here(bytes) => out(key, stored.kind, bytes),
                ValueBytes::Source(span) => out(key, stored.kind, &source.read(*span)?),
            }
        }
        Ok(())
    }
}

/// The first texts of a list in the source, with the bytes that they take there.
fn texts(
    source: &Source<'_>,
    key: &str,
    list: &Array,
    count: u64,
) -> Result<(Vec<Vec<u8>>, u64), Error> {
    let entry = source.view.0.metadata.entry(key);
    let end = entry.map_or(list.offset, |entry| entry.end);
    let bytes = source.read(Span::new(list.offset, end - list.offset))?;
    let mut rest = bytes.as_slice();
    let mut found = Vec::new();
    for _ in 0..count {
        let next = rest.split_first_chunk().and_then(|(length, rest)| {
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        // The strict reader saw them all; so the file changed since.
        let (text, left) = next.ok_or_else(|| wrong_key(key, "a list of texts"))?;
        found.push(text.to_vec());
        rest = left;
    }
    Ok((found, (bytes.len() - rest.len()) as u64))
}

/// The first texts of a list that must be there.
pub(super) fn list_of_texts(
    source: &Source<'_>,
    key: &str,
    count: u64,
) -> Result<Vec<Vec<u8>>, Error> {
    match source.view.0.metadata.get(key) {
        Some(Value::Array(list)) if list.kind == ValueType::String && list.len >= count => {
            Ok(texts(source, key, list, count)?.0)
        }
        _ => Err(wrong_key(key, format!("a list of {count} texts or more"))),
    }
}

/// The numbers of a list of `i32` of any length that must be there.
pub(super) fn list_of_integers(
    source: &Source<'_>,
    key: &str,
    count: u64,
) -> Result<Vec<i32>, Error> {
    match source.view.0.metadata.get(key) {
        Some(Value::Array(list)) if list.kind == ValueType::I32 && list.len >= count => {
            let bytes = source.read(Span::new(list.offset, count * 4))?;
            let numbers = bytes.as_chunks().0.iter();
            Ok(numbers.map(|bytes| i32::from_le_bytes(*bytes)).collect())
        }
        _ => Err(wrong_key(key, format!("a list of {count} numbers or more"))),
    }
}
