//! The strict reader of GGUF files, and the writer of the head of files that are made here.
//!
//! Every file passes the reader before a runner sees it, because the inference library trusts the numbers in its files
//! more than files deserve.
//! It knows eight rules, [`Rule`], and refuses a file that breaks one, with the place and the name of what broke it.
//! It reads front to back through a small buffer, never maps the file, and never takes memory on the word of a count:
//! the bytes a count promises must be there first, and what is kept has a budget.
//!
//! The format is that of llama.cpp's `ggml/src/gguf.cpp`, versions 2 and 3, in both byte orders.

#![forbid(unsafe_code)]

mod error;
mod general_type;
mod input;
mod known;
mod metadata;
mod model_info;
mod tensor;
mod tensor_type;
#[cfg(test)]
mod tests;
mod value;
mod vocabulary;
mod write;

use std::io::{Read, Seek};

pub(crate) use self::error::harmless;
pub use self::error::{Error, Problem, Rule};
pub use self::general_type::GeneralType;
pub(crate) use self::known::{CHARSMAP, is_told_in_texts};
pub use self::metadata::{Entry, Metadata};
pub use self::tensor::Tensor;
pub use self::tensor_type::TensorType;
pub use self::value::{Array, Endian, Value, ValueType};
pub(crate) use self::vocabulary::{MERGES, TOKENS};
pub(crate) use self::write::Head;

use self::input::Input;

/// What of a file's arrays is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Arrays of at most 1,024 elements; enough for everything but a look at the vocabulary.
    Small,
    /// Every array, until 128 MiB are taken; for showing a model in full.
    Everything,
}

/// What a GGUF file says about itself, after every rule was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf {
    /// The format's version, 2 or 3.
    pub version: u32,
    /// The byte order of the file's numbers.
    pub endian: Endian,
    /// The alignment of tensor data in bytes: a power of two from 8 to 1 MiB.
    pub alignment: u64,
    /// The key-value pairs, in the file's order.
    pub metadata: Metadata,
    /// The tensors, in the file's order.
    pub tensors: Vec<Tensor>,
    /// Where the tensor data begins, in bytes from the start of the file.
    pub data_offset: u64,
    /// The size of the file in bytes.
    pub size: u64,
}

/// Reads and checks a file of `size` bytes.
///
/// Reading begins at the file's first byte, wherever it stands, and leaves it standing anywhere.
/// Arrays of more than 1,024 elements are checked and then remembered by type, length and place only.
///
/// # Errors
///
/// [`Error::Refused`] where the file breaks a rule, also when it is shorter or longer than `size`;
/// [`Error::Io`] where it cannot be read.
pub fn read(file: &mut (impl Read + Seek), size: u64) -> Result<Gguf, Error> {
    read_keeping(file, size, Keep::Small)
}

/// Like [`read`], with a choice of what is kept.
///
/// # Errors
///
/// Errors of [`read`]; `keep` does not change which files are refused.
pub fn read_keeping(file: &mut (impl Read + Seek), size: u64, keep: Keep) -> Result<Gguf, Error> {
    let mut input = Input::open(file, size)?;
    let version = input.version()?;
    let unusable = unusable_here(input.endian());
    read_rest(&mut input, version, size, keep).map_err(|error| match (error, unusable) {
        // No repair of what else is wrong would make it run here.
        (Error::Refused { .. }, Some(said)) => Problem::ByteOrder { said }.at(4),
        (error, _) => error,
    })
}

/// What stands behind the version.
fn read_rest(
    input: &mut Input<'_, impl Read + Seek>,
    version: u32,
    size: u64,
    keep: Keep,
) -> Result<Gguf, Error> {
    let tensor_count = input.u64("the tensor count")?;
    let pair_count = input.u64("the count of key-value pairs")?;
    let (metadata, vocabulary) = metadata::read(input, pair_count, keep)?;
    let alignment = known::alignment(&metadata)?;
    known::check(&metadata, &vocabulary)?;
    let (tensors, data_offset) = tensor::read(input, tensor_count, alignment)?;
    known::check_tensor_count(&metadata, tensors.len(), input.position())?;
    Ok(Gguf {
        version,
        endian: input.endian(),
        alignment,
        metadata,
        tensors,
        data_offset,
        size,
    })
}

fn unusable_here(endian: Endian) -> Option<&'static str> {
    let (ours, said) = match cfg!(target_endian = "big") {
        true => (
            Endian::Big,
            "its numbers are little-endian, this machine needs them big-endian; convert it with llama.cpp's gguf_convert_endian.py, or download the other kind",
        ),
        false => (
            Endian::Little,
            "its numbers are big-endian, this machine needs them little-endian; convert it with llama.cpp's gguf_convert_endian.py, or download the other kind",
        ),
    };
    (endian != ours).then_some(said)
}

impl Gguf {
    /// The metadata as JSON, in the file's order.
    ///
    /// The name and the chat template are left out, because they are shown elsewhere.
    /// Unless `verbose`, arrays of more than 5 elements are null; arrays that were not kept always are.
    /// `general.parameter_count` is added where the file does not state it.
    #[must_use]
    pub fn model_info(&self, verbose: bool) -> serde_json::Map<String, serde_json::Value> {
        model_info::of(self, verbose)
    }

    /// Why no program on this machine can compute with a file that breaks no rule: its numbers are in the other byte order.
    #[must_use]
    pub(crate) fn unusable_here(&self) -> Option<&'static str> {
        unusable_here(self.endian)
    }

    /// The number of values in all tensors together.
    #[must_use]
    pub(crate) fn parameter_count(&self) -> u64 {
        self.tensors.iter().map(Tensor::elements).sum()
    }
}
