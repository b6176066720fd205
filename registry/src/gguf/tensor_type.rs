//! The types that tensors can have.
//!
//! Ids, names and block sizes are those of llama.cpp's `ggml/include/ggml.h` and `ggml/src/ggml-common.h`,
//! where types that are gone have left gaps.

use std::fmt;

/// A tensor's type that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorType(usize);

struct Row {
    id: u32,
    name: &'static str,
    /// How many values one block holds.
    block: u64,
    /// How many bytes one block takes.
    bytes: u64,
}

const fn row(id: u32, name: &'static str, block: u64, bytes: u64) -> Row {
    Row {
        id,
        name,
        block,
        bytes,
    }
}

const TYPES: &[Row] = &[
    row(0, "F32", 1, 4),
    row(1, "F16", 1, 2),
    row(2, "Q4_0", 32, 18),
    row(3, "Q4_1", 32, 20),
    row(6, "Q5_0", 32, 22),
    row(7, "Q5_1", 32, 24),
    row(8, "Q8_0", 32, 34),
    row(9, "Q8_1", 32, 36),
    row(10, "Q2_K", 256, 84),
    row(11, "Q3_K", 256, 110),
    row(12, "Q4_K", 256, 144),
    row(13, "Q5_K", 256, 176),
    row(14, "Q6_K", 256, 210),
    row(15, "Q8_K", 256, 292),
    row(16, "IQ2_XXS", 256, 66),
    row(17, "IQ2_XS", 256, 74),
    row(18, "IQ3_XXS", 256, 98),
    row(19, "IQ1_S", 256, 50),
    row(20, "IQ4_NL", 32, 18),
    row(21, "IQ3_S", 256, 110),
    row(22, "IQ2_S", 256, 82),
    row(23, "IQ4_XS", 256, 136),
    row(24, "I8", 1, 1),
    row(25, "I16", 1, 2),
    row(26, "I32", 1, 4),
    row(27, "I64", 1, 8),
    row(28, "F64", 1, 8),
    row(29, "IQ1_M", 256, 56),
    row(30, "BF16", 1, 2),
    row(34, "TQ1_0", 256, 54),
    row(35, "TQ2_0", 256, 66),
    row(39, "MXFP4", 32, 17),
    row(40, "NVFP4", 64, 36),
    row(41, "Q1_0", 128, 18),
    row(42, "Q2_0", 64, 18),
];

impl TensorType {
    /// The type of this id; `None` where it is unknown or gone.
    #[must_use]
    pub(crate) fn from_id(id: u32) -> Option<Self> {
        TYPES.iter().position(|row| row.id == id).map(Self)
    }

    /// The id in files.
    #[must_use]
    pub fn id(self) -> u32 {
        TYPES[self.0].id
    }

    /// The name, for example `Q4_K`.
    #[must_use]
    pub fn name(self) -> &'static str {
        TYPES[self.0].name
    }

    /// How many values one block holds; a row is made of whole blocks.
    #[must_use]
    pub(crate) fn block_values(self) -> u64 {
        TYPES[self.0].block
    }

    /// How many bytes one block takes.
    #[must_use]
    pub(crate) fn block_bytes(self) -> u64 {
        TYPES[self.0].bytes
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_the_unknown_are_no_types() {
        for id in [4, 5, 31, 32, 33, 36, 37, 38, 43, u32::MAX] {
            assert_eq!(TensorType::from_id(id), None, "{id}");
        }
    }

    #[test]
    fn every_type_comes_back_from_its_id() {
        for row in TYPES {
            let kind = TensorType::from_id(row.id).expect("the table knows its own ids");
            assert_eq!((kind.id(), kind.name()), (row.id, row.name));
        }
    }
}
