//! Writes the head of a GGUF file: everything before the tensor data, which the caller appends.
//!
//! Version 3, little endian, with the alignment that holds where none is stated. The strict reader reads what is written here.

use super::{TensorType, ValueType};

/// Tensors begin at multiples of so many bytes.
const ALIGNMENT: u64 = 32;

/// The head of one file, in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pairs: Vec<u8>,
    pair_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
    /// Bytes of all tensors so far, with what fills them up.
    data: u64,
}

impl Head {
    /// Adds a key with a text.
    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key, ValueType::String);
        put_text(&mut self.pairs, value);
    }

    /// Adds a key with a number.
    pub(crate) fn number(&mut self, key: &str, value: u32) {
        self.key(key, ValueType::U32);
        self.pairs.extend(value.to_le_bytes());
    }

    /// Adds a key with a float.
    pub(crate) fn float(&mut self, key: &str, value: f32) {
        self.key(key, ValueType::F32);
        self.pairs.extend(value.to_le_bytes());
    }

    /// Adds a key with a truth.
    pub(crate) fn truth(&mut self, key: &str, value: bool) {
        self.key(key, ValueType::Bool);
        self.pairs.push(value.into());
    }

    /// Adds a key with a list of texts.
    pub(crate) fn texts<'a>(&mut self, key: &str, values: impl ExactSizeIterator<Item = &'a str>) {
        self.list(key, ValueType::String, values.len());
        for value in values {
            put_text(&mut self.pairs, value);
        }
    }

    /// Adds a key with a list of signed numbers.
    pub(crate) fn integers(&mut self, key: &str, values: impl ExactSizeIterator<Item = i32>) {
        self.list(key, ValueType::I32, values.len());
        for value in values {
            self.pairs.extend(value.to_le_bytes());
        }
    }

    /// Adds a key with a value as it stands in a file.
    pub(crate) fn raw(&mut self, key: &str, kind: ValueType, bytes: &[u8]) {
        self.key(key, kind);
        self.pairs.extend(bytes);
    }

    /// Adds a key with so many zero bytes that the first tensor begins `place` bytes behind a multiple of `block`,
    /// where `place` is a multiple of the alignment. To be called when all else is there.
    pub(crate) fn fill(&mut self, key: &str, block: u64, place: u64) {
        self.list(key, ValueType::U8, 0);
        let length = self.length();
        let count = (place + block - length % block) % block;
        let at = self.pairs.len() - size_of::<u64>();
        self.pairs[at..].copy_from_slice(&count.to_le_bytes());
        self.pairs.resize(self.pairs.len() + count as usize, 0);
    }

    /// Adds a tensor: its name, its dimensions with the fastest first, and the type of its values.
    /// The values follow the head in the order of these calls, each tensor's with [`Head::filling`] behind them.
    /// Returns how many bytes they have.
    ///
    /// # Panics
    /// When the tensor has more bytes than a file can have; the caller has checked that.
    pub(crate) fn tensor(&mut self, name: &str, dims: &[u64], kind: TensorType) -> u64 {
        let values = dims
            .iter()
            .try_fold(1_u64, |values, dim| values.checked_mul(*dim));
        let bytes = values
            .map(|values| values / kind.block_values())
            .and_then(|blocks| blocks.checked_mul(kind.block_bytes()))
            .expect("the shape was checked");
        put_text(&mut self.tensors, name);
        self.tensors.extend((dims.len() as u32).to_le_bytes());
        for dim in dims {
            self.tensors.extend(dim.to_le_bytes());
        }
        self.tensors.extend(kind.id().to_le_bytes());
        self.tensors.extend(self.data.to_le_bytes());
        self.tensor_count += 1;
        self.data += bytes + Self::filling(bytes);
        bytes
    }

    /// How many zero bytes follow so many bytes of a tensor.
    pub(crate) fn filling(bytes: u64) -> u64 {
        bytes.next_multiple_of(ALIGNMENT) - bytes
    }

    /// Bytes of the head so far, without what fills it up.
    fn length(&self) -> u64 {
        const START: usize = 4 + 4 + 8 + 8;
        (START + self.pairs.len() + self.tensors.len()) as u64
    }

    /// The bytes of the head, up to where the first tensor's values begin, and the size of the whole file.
    pub(crate) fn finish(self) -> (Vec<u8>, u64) {
        let mut head = b"GGUF".to_vec();
        head.extend(3_u32.to_le_bytes());
        head.extend(self.tensor_count.to_le_bytes());
        head.extend(self.pair_count.to_le_bytes());
        head.extend(self.pairs);
        head.extend(self.tensors);
        let length = head.len() + Self::filling(head.len() as u64) as usize;
        head.resize(length, 0);
        let size = length as u64 + self.data;
        (head, size)
    }

    fn key(&mut self, key: &str, kind: ValueType) {
        put_text(&mut self.pairs, key);
        self.pairs.extend(kind.id().to_le_bytes());
        self.pair_count += 1;
    }

    fn list(&mut self, key: &str, kind: ValueType, length: usize) {
        self.key(key, ValueType::Array);
        self.pairs.extend(kind.id().to_le_bytes());
        self.pairs.extend((length as u64).to_le_bytes());
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::gguf::{Keep, Value, read_keeping};

    #[test]
    fn the_strict_reader_reads_what_is_written() {
        let mut head = Head::default();
        head.text("general.architecture", "bert");
        for key in ["block_count", "context_length", "embedding_length"] {
            head.number(&format!("bert.{key}"), 7);
        }
        head.float("bert.attention.layer_norm_epsilon", 1e-12);
        head.truth("bert.attention.causal", false);
        head.texts("tokenizer.ggml.tokens", ["a", "ü"].into_iter());
        head.integers("tokenizer.ggml.token_type", [1, -3].into_iter());
        let kind = |id| TensorType::from_id(id).expect("a type");
        assert_eq!(head.tensor("one", &[3, 5], kind(1)), 30);
        assert_eq!(head.tensor("two", &[2], kind(0)), 8);
        let (mut bytes, size) = head.finish();
        bytes.resize(bytes.len() + 32 + 32, 0);
        assert_eq!(bytes.len() as u64, size);

        let gguf = read_keeping(&mut Cursor::new(&bytes), size, Keep::Everything).expect("a file");
        let value = |key: &str| gguf.metadata.get(key).expect("the key");
        assert_eq!(value("bert.block_count"), &Value::U32(7));
        assert_eq!(value("bert.attention.causal"), &Value::Bool(false));
        let tokens = value("tokenizer.ggml.tokens").as_array().expect("a list");
        let expected = ["a", "ü"].map(|text| Value::String(text.into()));
        assert_eq!(tokens.items.as_deref(), Some(&expected[..]));
        let tensors: Vec<_> = gguf
            .tensors
            .iter()
            .map(|tensor| {
                (
                    tensor.name.as_str(),
                    tensor.offset - gguf.data_offset,
                    tensor.bytes,
                )
            })
            .collect();
        assert_eq!(tensors, [("one", 0, 30), ("two", 32, 8)]);
    }
}
