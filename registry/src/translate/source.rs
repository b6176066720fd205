//! The weights as they are.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::Error;
use crate::gguf::{Gguf, Tensor, Value, harmless};

/// Most bytes of one list that is looked into.
const MOST_LIST: u64 = 64 << 20;

/// Something whose bytes can be read at any place.
pub(crate) trait ReadAt {
    /// Fills `buffer` with what begins at `offset`.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

/// Bytes of a file, by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Where they begin.
    pub(crate) offset: u64,
    /// How many they are.
    pub(crate) length: u64,
}

impl Span {
    pub(super) fn new(offset: u64, length: u64) -> Self {
        Self { offset, length }
    }

    pub(super) fn of(tensor: &Tensor) -> Self {
        Self::new(tensor.offset, tensor.bytes)
    }

    pub(crate) fn end(self) -> u64 {
        self.offset + self.length
    }
}

/// What the header says, asked by name. Enough to recognise a layout.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a>(pub(super) &'a Gguf);

impl<'a> View<'a> {
    pub(super) fn architecture(self) -> &'a str {
        self.0
            .metadata
            .str("general.architecture")
            .unwrap_or_default()
    }

    pub(super) fn has(self, key: &str) -> bool {
        self.0.metadata.get(key).is_some()
    }

    /// Whether any of these keys of the architecture is there.
    pub(super) fn has_any(self, keys: &[&str]) -> bool {
        let architecture = self.architecture();
        keys.iter()
            .any(|key| self.has(&format!("{architecture}.{key}")))
    }

    pub(super) fn text(self, key: &str) -> Option<&'a str> {
        self.0.metadata.str(key)
    }

    pub(super) fn number(self, key: &str) -> Option<u64> {
        self.0.metadata.u64(key)
    }

    pub(super) fn float(self, key: &str) -> Option<f32> {
        match self.0.metadata.get(key)? {
            Value::F32(value) => Some(*value),
            _ => None,
        }
    }

    /// The number of elements of a list.
    pub(super) fn length(self, key: &str) -> Option<u64> {
        let list = self.0.metadata.get(key)?.as_array()?;
        Some(list.len)
    }

    /// The numbers of a short list.
    pub(super) fn numbers(self, key: &str) -> Option<Vec<u64>> {
        let list = self.0.metadata.get(key)?.as_array()?;
        list.items.as_ref()?.iter().map(Value::as_u64).collect()
    }

    pub(super) fn find(self, name: &str) -> Option<&'a Tensor> {
        self.0.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Whether the name of any tensor fits.
    pub(super) fn any(self, fits: impl Fn(&str) -> bool) -> bool {
        self.0.tensors.iter().any(|tensor| fits(&tensor.name))
    }

    /// Whether the name of any tensor begins with one of these.
    pub(super) fn begins(self, prefixes: &[&str]) -> bool {
        self.any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
    }
}

/// A header together with the bytes behind it.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) view: View<'a>,
    pub(super) bytes: &'a dyn ReadAt,
}

impl<'a> Source<'a> {
    /// A key of the architecture.
    pub(super) fn key(&self, rest: &str) -> String {
        format!("{}.{rest}", self.view.architecture())
    }

    /// A number that must be there.
    pub(super) fn number(&self, key: &str) -> Result<u64, Error> {
        if !self.view.has(key) {
            return Err(missing_key(key));
        }
        self.view
            .number(key)
            .ok_or_else(|| wrong_key(key, "a whole number"))
    }

    /// A number of so much at most, that must be there.
    pub(super) fn count(&self, key: &str, limit: u64) -> Result<u64, Error> {
        within(&format!("key `{key}`"), self.number(key)?, limit)
    }

    /// A tensor that must be there.
    pub(super) fn tensor(&self, name: &str) -> Result<&'a Tensor, Error> {
        self.view.find(name).ok_or_else(|| missing_tensor(name))
    }

    /// One dimension of a tensor that must be there.
    pub(super) fn dim(&self, name: &str, dim: usize) -> Result<u64, Error> {
        let tensor = self.tensor(name)?;
        let found = tensor.dims.get(dim).copied();
        found.ok_or_else(|| shape(tensor, &format!("{} dimensions or more", dim + 1)))
    }

    pub(super) fn read(&self, span: Span) -> Result<Vec<u8>, Error> {
        let limit = MOST_LIST;
        within("the bytes of a key", span.length, limit)?;
        let mut bytes = vec![0; span.length as usize];
        self.read_into(span.offset, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn read_into(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let read = self.bytes.read_at(offset, bytes);
        read.map_err(|source| Error::Io { offset, source })
    }
}

pub(super) fn missing_key(key: &str) -> Error {
    Error::MissingKey {
        key: harmless(key.as_bytes()),
    }
}

pub(super) fn wrong_key(key: &str, expected: impl Into<String>) -> Error {
    Error::Key {
        key: harmless(key.as_bytes()),
        expected: expected.into(),
    }
}

pub(super) fn missing_tensor(name: &str) -> Error {
    Error::MissingTensor {
        tensor: harmless(name.as_bytes()),
    }
}

pub(super) fn shape(tensor: &Tensor, expected: &str) -> Error {
    Error::Shape {
        tensor: harmless(tensor.name.as_bytes()),
        found: tensor.dims.clone(),
        expected: expected.to_owned(),
    }
}

/// Returns `found` if it is at most `limit`.
pub(super) fn within(what: &str, found: u64, limit: u64) -> Result<u64, Error> {
    if found > limit {
        let what = what.to_owned();
        return Err(Error::TooMuch { what, found, limit });
    }
    Ok(found)
}
