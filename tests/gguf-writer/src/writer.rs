//! The builder of one file.

use std::io::{self, Write};

use crate::Value;
use crate::value::put_string;

/// The byte order of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Endian {
    /// Least significant byte first, as in nearly every file.
    #[default]
    Little,
    /// Most significant byte first.
    Big,
}

impl Endian {
    /// Appends a number, given with its least significant byte first.
    pub(crate) fn put(self, little: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Little => out.extend(little),
            Self::Big => out.extend(little.iter().rev()),
        }
    }
}

/// The tensor types that tests use by name; any other id can be written as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "the names are those of the format")]
#[expect(missing_docs, reason = "the names say it")]
#[repr(u32)]
pub enum TensorType {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q8_0 = 8,
    Q4_K = 12,
    Q6_K = 14,
    I32 = 26,
    BF16 = 30,
}

impl From<TensorType> for u32 {
    fn from(kind: TensorType) -> Self {
        kind as Self
    }
}

/// One tensor: its description in the file, and the bytes that are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The name's bytes, which need not be UTF-8.
    pub name: Vec<u8>,
    /// The stated number of dimensions, if it differs from the number of `dims`.
    pub stated_dims: Option<u32>,
    /// The dimensions, fastest first.
    pub dims: Vec<u64>,
    /// The type's id.
    pub kind: u32,
    /// The stated offset, if it differs from the offset of `data`.
    pub stated_offset: Option<u64>,
    /// The bytes for the data section, padded to the alignment.
    pub data: Vec<u8>,
}

impl Tensor {
    /// A correct tensor, if `data` has the length of `dims` and `kind`.
    #[must_use]
    pub fn new(name: &str, dims: &[u64], kind: impl Into<u32>, data: Vec<u8>) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            stated_dims: None,
            dims: dims.to_vec(),
            kind: kind.into(),
            stated_offset: None,
            data,
        }
    }

    /// A tensor of `F32` values.
    #[must_use]
    pub fn f32(name: &str, dims: &[u64], values: &[f32]) -> Self {
        let data = values.iter().flat_map(|value| value.to_le_bytes());
        Self::new(name, dims, TensorType::F32, data.collect())
    }
}

/// Builds a GGUF file.
///
/// Nothing is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Writer {
    magic: [u8; 4],
    version: u32,
    endian: Endian,
    alignment: u64,
    stated_kvs: Option<u64>,
    stated_tensors: Option<u64>,
    kvs: Vec<(Vec<u8>, Value)>,
    after_kvs: Vec<u8>,
    tensors: Vec<Tensor>,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// An empty file of version 3, little endian, with the default alignment of 32 bytes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            magic: *b"GGUF",
            version: 3,
            endian: Endian::Little,
            alignment: 32,
            stated_kvs: None,
            stated_tensors: None,
            kvs: Vec::new(),
            after_kvs: Vec::new(),
            tensors: Vec::new(),
        }
    }

    /// Sets the first four bytes.
    #[must_use]
    pub fn magic(mut self, magic: [u8; 4]) -> Self {
        self.magic = magic;
        self
    }

    /// Sets the version.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Sets the byte order of every number outside [`Value::Raw`] and tensor data.
    #[must_use]
    pub fn endian(mut self, endian: Endian) -> Self {
        self.endian = endian;
        self
    }

    /// Sets the alignment of data without writing a key.
    #[must_use]
    pub fn padded_to(mut self, alignment: u64) -> Self {
        self.alignment = alignment;
        self
    }

    /// Sets the alignment of data, and writes it to `general.alignment`.
    #[must_use]
    pub fn alignment(self, alignment: u32) -> Self {
        self.padded_to(alignment.into())
            .kv("general.alignment", alignment)
    }

    /// States this number of key-value pairs, true or not.
    #[must_use]
    pub fn state_kvs(mut self, count: u64) -> Self {
        self.stated_kvs = Some(count);
        self
    }

    /// States this number of tensors, true or not.
    #[must_use]
    pub fn state_tensors(mut self, count: u64) -> Self {
        self.stated_tensors = Some(count);
        self
    }

    /// Appends a key-value pair.
    #[must_use]
    pub fn kv(self, key: &str, value: impl Into<Value>) -> Self {
        self.kv_bytes(key.as_bytes(), value)
    }

    /// Appends a key-value pair whose key need not be UTF-8.
    #[must_use]
    pub fn kv_bytes(mut self, key: &[u8], value: impl Into<Value>) -> Self {
        self.kvs.push((key.to_vec(), value.into()));
        self
    }

    /// Puts bytes between the last pair and the first tensor; only a wrong count makes them a pair.
    #[must_use]
    pub fn after_kvs(mut self, bytes: &[u8]) -> Self {
        self.after_kvs = bytes.to_vec();
        self
    }

    /// The number of key-value pairs so far.
    #[must_use]
    pub fn kvs(&self) -> u64 {
        self.kvs.len() as u64
    }

    /// Removes every pair with this key.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.kvs.retain(|(known, _)| known != key.as_bytes());
        self
    }

    /// Replaces the value of this key, or appends the pair.
    #[must_use]
    pub fn replace(mut self, key: &str, value: impl Into<Value>) -> Self {
        let place = self
            .kvs
            .iter_mut()
            .find(|(known, _)| known == key.as_bytes());
        match place {
            Some((_, old)) => *old = value.into(),
            None => self.kvs.push((key.as_bytes().to_vec(), value.into())),
        }
        self
    }

    /// Appends a tensor.
    #[must_use]
    pub fn tensor(mut self, tensor: Tensor) -> Self {
        self.tensors.push(tensor);
        self
    }

    /// The tensors so far.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Removes every tensor.
    #[must_use]
    pub fn without_tensors(mut self) -> Self {
        self.tensors.clear();
        self
    }

    /// The file up to the padding before the tensor data.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        let endian = self.endian;
        let mut out = self.magic.to_vec();
        endian.put(&self.version.to_le_bytes(), &mut out);
        let tensors = self.stated_tensors.unwrap_or(self.tensors.len() as u64);
        let kvs = self.stated_kvs.unwrap_or(self.kvs.len() as u64);
        endian.put(&tensors.to_le_bytes(), &mut out);
        endian.put(&kvs.to_le_bytes(), &mut out);
        for (key, value) in &self.kvs {
            put_string(key, endian, &mut out);
            endian.put(&value.type_id().to_le_bytes(), &mut out);
            value.put(endian, &mut out);
        }
        out.extend(&self.after_kvs);
        let mut offset = 0;
        for tensor in &self.tensors {
            put_string(&tensor.name, endian, &mut out);
            let dims = tensor.stated_dims.unwrap_or(tensor.dims.len() as u32);
            endian.put(&dims.to_le_bytes(), &mut out);
            for dim in &tensor.dims {
                endian.put(&dim.to_le_bytes(), &mut out);
            }
            endian.put(&tensor.kind.to_le_bytes(), &mut out);
            let stated = tensor.stated_offset.unwrap_or(offset);
            endian.put(&stated.to_le_bytes(), &mut out);
            offset += self.padded(tensor.data.len() as u64);
        }
        out
    }

    /// The whole file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.header();
        out.resize(self.padded(out.len() as u64) as usize, 0);
        for tensor in &self.tensors {
            let end = out.len() + self.padded(tensor.data.len() as u64) as usize;
            out.extend(&tensor.data);
            out.resize(end, 0);
        }
        out
    }

    /// The shards of the model, as from llama.cpp's split tool:
    /// the first has every pair, and the tensors are distributed in their order.
    #[must_use]
    pub fn split(&self, parts: u16) -> Vec<Vec<u8>> {
        let each = self.tensors.len().div_ceil(usize::from(parts.max(1)));
        let tensors = i32::try_from(self.tensors.len()).expect("tests have few tensors");
        let part = |number: u16| {
            let mut part = self.clone();
            if number > 0 {
                part.kvs.retain(|(key, _)| key == b"general.alignment");
            }
            let before = each * usize::from(number);
            part.tensors = self
                .tensors
                .iter()
                .skip(before)
                .take(each)
                .cloned()
                .collect();
            part.kv("split.no", number)
                .kv("split.count", parts)
                .kv("split.tensors.count", tensors)
                .to_bytes()
        };
        (0..parts).map(part).collect()
    }

    /// Writes the whole file.
    ///
    /// # Errors
    ///
    /// What `out` answers.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.to_bytes())
    }

    fn padded(&self, len: u64) -> u64 {
        len.next_multiple_of(self.alignment)
    }
}
