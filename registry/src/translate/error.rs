//! Why weights in Ollama's layout were not translated.

use std::io;

use super::Family;
use crate::gguf::TensorType;

/// What is wrong with the weights, or beyond what is translated here. Names come from the file and are made harmless.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The layout is known and cannot be translated.
    #[error(
        "these are weights of {} in a layout that only Ollama's own engine runs, and it is not translated; {}",
        .family.name(), .family.remedy()
    )]
    NotYet {
        /// Whose layout.
        family: Family,
    },
    /// The weights are cut into several files.
    #[error(
        "these are weights of {} in Ollama's layout, cut into several files; only whole ones are translated",
        .family.name()
    )]
    Split {
        /// Whose layout.
        family: Family,
    },
    /// A key that the translation needs is not there.
    #[error("the translation needs the key `{key}`, which the file does not have")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A key holds what it cannot.
    #[error("key `{key}` must be {expected}")]
    Key {
        /// The key.
        key: String,
        /// What it must hold.
        expected: String,
    },
    /// A tensor that the translation needs is not there.
    #[error("tensor `{tensor}` is missing")]
    MissingTensor {
        /// Its name.
        tensor: String,
    },
    /// A tensor has a shape that cannot be brought into llama.cpp's.
    #[error("tensor `{tensor}` has the shape {found:?}, and must have {expected}")]
    Shape {
        /// Its name.
        tensor: String,
        /// Its dimensions, the fastest first.
        found: Vec<u64>,
        /// What they must be.
        expected: String,
    },
    /// A tensor is of a type whose values cannot be read here.
    #[error("the values of tensor `{tensor}` are of type {found}, which is not read here")]
    Type {
        /// Its name.
        tensor: String,
        /// Its type.
        found: TensorType,
    },
    /// Two tensors would have one name.
    #[error("two tensors would be called `{tensor}`")]
    Clash {
        /// The name.
        tensor: String,
    },
    /// Something is larger than in any real model.
    #[error("{what}: {found} is beyond the limit of {limit}")]
    TooMuch {
        /// What is.
        what: String,
        /// How much there is.
        found: u64,
        /// How much there may be.
        limit: u64,
    },
    /// The file that came of it breaks a rule of the strict reader.
    #[error("the translation is not a usable GGUF file: {reason}")]
    Refused {
        /// What the strict reader says.
        reason: String,
    },
    /// The file could not be read.
    #[error("cannot read the file at byte {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
}
