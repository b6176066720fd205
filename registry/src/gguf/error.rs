//! Why a file was refused.

use std::fmt;
use std::io;

use super::{TensorType, ValueType};

/// The rules that a file must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// G1: the file is a GGUF file of a version we read, and whole.
    Whole,
    /// G2: every tensor has a valid shape, lies inside the file, and overlaps no other.
    Spans,
    /// G3: no length and no count is beyond its limit, or beyond the bytes that are left.
    Counts,
    /// G4: every type is known, and known keys have the type and range that readers expect.
    Types,
    /// G5: required keys and names are there, once each.
    Keys,
    /// G6: the alignment is a sensible power of two, and tensors keep to it.
    Alignment,
    /// G7: the vocabulary fits together: ids are inside it, its arrays are equally long, no token stands twice.
    Vocabulary,
    /// G8: no token is absurdly long.
    TokenLength,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "G1",
            Self::Spans => "G2",
            Self::Counts => "G3",
            Self::Types => "G4",
            Self::Keys => "G5",
            Self::Alignment => "G6",
            Self::Vocabulary => "G7",
            Self::TokenLength => "G8",
        })
    }
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read the file at byte {offset}")]
    Io {
        /// How far reading had come.
        offset: u64,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The file breaks a rule.
    #[error("{problem} (GGUF rule {rule}, near byte {offset})", rule = .problem.rule())]
    Refused {
        /// How far reading had come, or where the value at fault stands.
        offset: u64,
        /// What is wrong.
        problem: Problem,
    },
}

impl Error {
    /// The rule that the file breaks; `None` where it could not be read.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        match self {
            Self::Io { .. } => None,
            Self::Refused { problem, .. } => Some(problem.rule()),
        }
    }
}

/// What is wrong with a file.
///
/// Keys and names come from the file and are made harmless for terminals and logs: escaped, and cut to 96 characters.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields mean")]
pub enum Problem {
    #[error("the file is not GGUF: it begins with {found} instead of `GGUF`")]
    NotGguf { found: String },
    #[error("GGUF version {found} cannot be read; versions 2 and 3 can")]
    Version { found: u32 },
    #[error("{said}")]
    ByteOrder { said: &'static str },
    #[error(
        "{what} needs {needed} more bytes, but the file has only {left}: it is incomplete, download it again"
    )]
    Truncated {
        what: String,
        needed: u64,
        left: u64,
    },
    #[error("the file has {found} bytes where {expected} were expected")]
    Size { found: u64, expected: u64 },

    #[error("tensor `{tensor}` has {found} dimensions, but GGUF allows 1 to 4")]
    Dimensions { tensor: String, found: u32 },
    #[error("tensor `{tensor}` has a dimension of 0")]
    ZeroDimension { tensor: String },
    #[error("the dimensions of tensor `{tensor}` multiply to more than any file holds")]
    TooManyElements { tensor: String },
    #[error(
        "tensor `{tensor}` has rows of {row} values; {kind} needs rows of a multiple of {block} values"
    )]
    BrokenRow {
        tensor: String,
        row: u64,
        kind: TensorType,
        block: u64,
    },
    #[error(
        "tensor `{tensor}` ends at byte {end}, but the file has only {size}: it is incomplete, download it again"
    )]
    Outside {
        tensor: String,
        end: u128,
        size: u64,
    },
    #[error("tensor `{second}` begins inside tensor `{first}`")]
    Overlap { first: String, second: String },

    #[error("{what}: {found} is beyond the limit of {limit}")]
    TooMany {
        what: String,
        found: u64,
        limit: u64,
    },
    #[error(
        "{what}: {found} would need at least {needed} bytes, but the file has only {left} left: it is incomplete or damaged, download it again"
    )]
    Promised {
        what: String,
        found: u64,
        needed: u128,
        left: u64,
    },
    #[error("the metadata takes more than {limit} bytes of memory")]
    Metadata { limit: u64 },

    #[error("key `{key}` has the unknown value type {found}")]
    ValueType { key: String, found: u32 },
    #[error("key `{key}` holds an array of arrays")]
    Nested { key: String },
    #[error("key `{key}` is of type {found}, and must be {expected}")]
    WrongType {
        key: String,
        found: String,
        expected: String,
    },
    #[error("key `{key}` is {found}, and must be {expected}")]
    WrongValue {
        key: String,
        found: String,
        expected: String,
    },
    #[error("{what} is not valid UTF-8")]
    NotUtf8 { what: String },
    #[error("{what} is a boolean of {found}, and must be 0 or 1")]
    NotBool { what: String, found: u8 },
    #[error("tensor `{tensor}` has the unknown type {found}")]
    TensorType { tensor: String, found: u32 },

    #[error("the GGUF header has no key `{key}`")]
    MissingKey { key: String },
    #[error("key `{key}` occurs twice")]
    DuplicateKey { key: String },
    #[error("tensor `{tensor}` occurs twice")]
    DuplicateTensor { tensor: String },
    #[error("{what} is empty")]
    Empty { what: String },
    #[error("{what} contains a NUL byte")]
    ZeroByte { what: String },
    #[error("the file holds no tensors")]
    NoTensors,

    #[error("the alignment {found} is not a power of two from 8 to 1048576")]
    Alignment { found: u64 },
    #[error("tensor `{tensor}` is at offset {offset}, which is not a multiple of {alignment}")]
    Misaligned {
        tensor: String,
        offset: u64,
        alignment: u64,
    },

    #[error("key `{key}` names token {found}, but the vocabulary has only {size} tokens")]
    TokenId { key: String, found: i64, size: u64 },
    #[error("key `{key}` has {found} elements, but the vocabulary has {size} tokens")]
    VocabularyLength { key: String, found: u64, size: u64 },
    #[error("tokens number {first} and {second} of the vocabulary have the same text")]
    SameToken { first: u64, second: u64 },

    #[error("element {element} of key `{key}` has {found} bytes, beyond the limit of {limit}")]
    TokenLength {
        key: String,
        element: u64,
        found: u64,
        limit: u64,
    },
}

impl Problem {
    /// The rule that this breaks.
    #[must_use]
    pub fn rule(&self) -> Rule {
        match self {
            Self::NotGguf { .. }
            | Self::Version { .. }
            | Self::ByteOrder { .. }
            | Self::Truncated { .. }
            | Self::Size { .. } => Rule::Whole,
            Self::Dimensions { .. }
            | Self::ZeroDimension { .. }
            | Self::TooManyElements { .. }
            | Self::BrokenRow { .. }
            | Self::Outside { .. }
            | Self::Overlap { .. } => Rule::Spans,
            Self::TooMany { .. } | Self::Promised { .. } | Self::Metadata { .. } => Rule::Counts,
            Self::ValueType { .. }
            | Self::Nested { .. }
            | Self::WrongType { .. }
            | Self::WrongValue { .. }
            | Self::NotUtf8 { .. }
            | Self::NotBool { .. }
            | Self::TensorType { .. } => Rule::Types,
            Self::MissingKey { .. }
            | Self::DuplicateKey { .. }
            | Self::DuplicateTensor { .. }
            | Self::Empty { .. }
            | Self::ZeroByte { .. }
            | Self::NoTensors => Rule::Keys,
            Self::Alignment { .. } | Self::Misaligned { .. } => Rule::Alignment,
            Self::TokenId { .. } | Self::VocabularyLength { .. } | Self::SameToken { .. } => {
                Rule::Vocabulary
            }
            Self::TokenLength { .. } => Rule::TokenLength,
        }
    }

    pub(super) fn at(self, offset: u64) -> Error {
        Error::Refused {
            offset,
            problem: self,
        }
    }

    pub(super) fn wrong_type(key: &str, found: &str, expected: &str) -> Self {
        Self::WrongType {
            key: harmless(key.as_bytes()),
            found: found.to_owned(),
            expected: expected.to_owned(),
        }
    }

    pub(super) fn wrong_value(key: &str, found: impl fmt::Display, expected: &str) -> Self {
        Self::WrongValue {
            key: harmless(key.as_bytes()),
            found: found.to_string(),
            expected: expected.to_owned(),
        }
    }
}

/// Text from a file, made fit for a terminal and a log: control characters escaped, at most 96 characters.
pub(crate) fn harmless(bytes: &[u8]) -> String {
    const LONGEST: usize = 96;
    let shown = &bytes[..bytes.len().min(LONGEST * 4)];
    let text = String::from_utf8_lossy(shown);
    let mut escaped = text.escape_debug();
    let mut harmless: String = escaped.by_ref().take(LONGEST).collect();
    if escaped.next().is_some() || shown.len() < bytes.len() {
        harmless.push('…');
    }
    harmless
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_tensor_sizes_rule_and_place() {
        let error = Problem::Outside {
            tensor: "blk.0.attn_q.weight".to_owned(),
            end: 12_345,
            size: 1_000,
        }
        .at(900);
        assert_eq!(
            error.to_string(),
            "tensor `blk.0.attn_q.weight` ends at byte 12345, but the file has only 1000: it is incomplete, download it again (GGUF rule G2, near byte 900)"
        );
        assert_eq!(error.rule(), Some(Rule::Spans));
    }

    #[test]
    fn text_from_the_file_cannot_steer_a_terminal() {
        assert_eq!(harmless(b"a\x1b[2Jb\xff"), "a\\u{1b}[2Jb\u{fffd}");
        assert_eq!(harmless(&[b'x'; 500]).chars().count(), 97);
    }
}
