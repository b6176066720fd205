//! Errors of the conversion.

use std::io;

/// What is wrong with a folder, or beyond what is converted here. Every message names the file or tensor.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that is needed was not given.
    #[error("`{file}` is missing from the model's files")]
    Missing {
        /// Its name.
        file: String,
    },
    /// A file could not be read.
    #[error("cannot read `{file}`")]
    Io {
        /// Its name.
        file: String,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// A file is longer than it may be.
    #[error("`{file}` has more than {most} bytes")]
    TooLong {
        /// Its name.
        file: String,
        /// Most bytes.
        most: u64,
    },
    /// A file of weights is not valid.
    #[error("`{file}` is not a usable safetensors file: {problem}")]
    Safetensors {
        /// Its name.
        file: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A file that describes the model is wrong.
    #[error("`{file}` does not describe a model that can be converted: {reason}")]
    Description {
        /// Its name.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model is something that is not converted here.
    #[error("`{file}`: {what} cannot be converted; {remedy}")]
    Unsupported {
        /// The file that says so.
        file: String,
        /// What it is.
        what: String,
        /// What is possible instead.
        remedy: &'static str,
    },
    /// A tensor is missing, or does not match the config.
    #[error("tensor `{tensor}` {reason}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What is wrong with a safetensors file. Names come from the file and are made harmless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields mean")]
pub enum Problem {
    #[error("it has {size} bytes, too few for the length of a header")]
    TooShort { size: u64 },
    #[error("its header is said to have {length} bytes, and at most {most} are possible")]
    HeaderLength { length: u64, most: u64 },
    #[error("its header does not begin with `{{`")]
    NoHeader,
    #[error("its header cannot be read: {0}")]
    Header(String),
    #[error("tensor `{0}` occurs twice")]
    Twice(String),
    #[error("tensor `{tensor}` is of the unknown type {found}")]
    Dtype { tensor: String, found: String },
    #[error("tensor `{tensor}` has {found} dimensions, at most {most} are possible")]
    Dimensions {
        tensor: String,
        found: usize,
        most: usize,
    },
    #[error("tensor `{tensor}` lies from byte {begin} to {end} of {length}")]
    Outside {
        tensor: String,
        begin: u64,
        end: u64,
        length: u64,
    },
    #[error("tensor `{tensor}` has {found} bytes, which do not fit its shape {shape:?}")]
    Size {
        tensor: String,
        shape: Vec<u64>,
        found: u64,
    },
    #[error(
        "tensor `{tensor}` begins at byte {begins}, where {expected} was expected: tensors lie end to end"
    )]
    NotEndToEnd {
        tensor: String,
        begins: u64,
        expected: u64,
    },
    #[error("its tensors describe {described} bytes, and it has {length}")]
    Leftover { described: u64, length: u64 },
}
