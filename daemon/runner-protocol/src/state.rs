//! The file format of a saved KV state.
//!
//! ```text
//! magic    8 bytes  "slmstate"
//! version  4 bytes  little-endian, as all numbers here
//! length   4 bytes  of the head
//! head              MessagePack: model, build and tokens
//! check   16 bytes  XXH3 (128 bits) of everything before
//! state             its size is in the head
//! check   16 bytes  XXH3 (128 bits) of head and state
//! ```
//! The daemon writes the file and never parses it. The runner reads it through a descriptor, and uses nothing before the check passes.
//! The check finds damage at the speed of memory: SHA-256 would double the time to read the file, and 32 bits are few for gigabytes.
//! It is no protection against a process that can write to the user's folder, which could change the models as well.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use crate::load::{MAX_ADAPTER_DIGEST, MAX_ADAPTERS, MAX_CONTEXT};

/// The first bytes of each file.
const MAGIC: [u8; 8] = *b"slmstate";

/// Version of this layout.
const VERSION: u32 = 2;

/// Bytes of magic, version and length.
const START: usize = 16;

/// Bytes of a check.
const CHECK: usize = 16;

/// Longest head in bytes: five bytes for each token of the largest context, and 64 KiB for the rest.
const MAX_HEAD: usize = 5 * MAX_CONTEXT as usize + 64 * 1024;

/// Longest [`Head::model`] in bytes.
pub const MAX_MODEL_KEY: usize = 256;

/// Longest [`Head::build`] in bytes.
pub const MAX_BUILD: usize = 256;

/// Bytes per read.
const STEP: usize = 1024 * 1024;

/// Model, build and tokens of a state.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`HostCacheSetup::model`](crate::HostCacheSetup::model) of the runner that made it; 1 to [`MAX_MODEL_KEY`] bytes.
    pub model: String,
    /// The engine, its build, and the settings that decide the layout of a state; 1 to [`MAX_BUILD`] bytes.
    pub build: String,
    /// Digests of the adapters whose scale is not 0, in order, with the bits of their scales as 32-bit floats; at most
    /// [`MAX_ADAPTERS`].
    pub adapters: Vec<(String, u32)>,
    /// The tokens whose KV cache it is; 1 to [`MAX_CONTEXT`].
    pub tokens: Vec<i32>,
    /// Bytes of the state; at least 1.
    pub bytes: u64,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the tokens, which are the user's text.
        write!(
            f,
            "state of {} bytes after {} tokens, made by {}",
            self.bytes,
            self.tokens.len(),
            self.build
        )
    }
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// Not a saved state, or cut within its first bytes.
    #[error("it is no saved state")]
    Foreign,
    /// Another version of the layout.
    #[error("it has version {0} of the layout, and this is version {VERSION}")]
    Version(u32),
    /// The head is damaged or out of bounds.
    #[error("its head is damaged")]
    Head,
    /// The file is too short or too long.
    #[error("it has {found} bytes instead of {expected}")]
    Size {
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// The state is damaged.
    #[error("its bytes are damaged")]
    Bytes,
    /// Not enough memory.
    #[error("there is no memory for its {0} bytes")]
    Memory(u64),
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Head {
    /// Whether all fields are within their bounds.
    pub fn is_within_bounds(&self) -> bool {
        (1..=MAX_MODEL_KEY).contains(&self.model.len())
            && (1..=MAX_BUILD).contains(&self.build.len())
            && self.adapters.len() <= MAX_ADAPTERS
            && self
                .adapters
                .iter()
                .all(|(digest, _)| digest.len() <= MAX_ADAPTER_DIGEST)
            && (1..=MAX_CONTEXT as usize).contains(&self.tokens.len())
            && self.bytes > 0
    }

    /// Identifies the state: two states with the same identity are interchangeable.
    pub fn identity(&self) -> Vec<u8> {
        let identity = (&self.model, &self.build, &self.adapters, &self.tokens);
        rmp_serde::to_vec(&identity).expect("texts and numbers can be encoded")
    }

    /// Bytes of the file.
    pub fn file_size(&self) -> u64 {
        let head = START + self.encoded().len() + 2 * CHECK;
        self.bytes.saturating_add(head as u64)
    }

    fn encoded(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("texts and numbers can be encoded")
    }
}

/// Makes the bytes of a file, part by part.
#[derive(Debug)]
pub struct Writer {
    check: Check,
    left: u64,
}

impl Writer {
    /// Begins a file, and returns its first bytes.
    pub fn begin(head: &Head) -> (Self, Vec<u8>) {
        let encoded = head.encoded();
        let length = u32::try_from(encoded.len()).expect("a head within its bounds is short");
        let mut bytes = Vec::with_capacity(START + encoded.len() + CHECK);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(encoded);
        let mut check = Check::default();
        check.update(&bytes);
        bytes.extend(check.value());
        let left = head.bytes;
        (Self { check, left }, bytes)
    }

    /// Counts and checks the next bytes of the state, which follow in the file as they are. False if they exceed the size in the
    /// head.
    #[must_use]
    pub fn part(&mut self, bytes: &[u8]) -> bool {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return false;
        };
        self.left = left;
        self.check.update(bytes);
        true
    }

    /// Bytes of the state that are still missing.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The last bytes of the file.
    pub fn end(self) -> [u8; CHECK] {
        self.check.value()
    }
}

/// A file with a valid head.
#[derive(Debug)]
pub struct Saved {
    head: Head,
    file: File,
    /// Where the state begins.
    start: u64,
    /// The check up to the end of the head.
    check: Check,
}

impl Saved {
    /// Reads and checks the head. Its tokens may still be of another vocabulary.
    ///
    /// # Errors
    /// See [`Damage`].
    pub fn open(file: File) -> Result<Self, Damage> {
        let mut start = [0; START];
        let found = file.metadata()?.len();
        if found < START as u64 {
            return Err(Damage::Foreign);
        }
        file.read_exact_at(&mut start, 0)?;
        let (magic, numbers) = start.split_at(MAGIC.len());
        let (version, length) = numbers.split_at(4);
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        if magic != MAGIC {
            return Err(Damage::Foreign);
        }
        if number(version) != VERSION {
            return Err(Damage::Version(number(version)));
        }
        let length = number(length) as usize;
        if length > MAX_HEAD || (START + length + CHECK) as u64 > found {
            return Err(Damage::Head);
        }
        let mut encoded = vec![0; length + CHECK];
        file.read_exact_at(&mut encoded, START as u64)?;
        let (encoded, stored) = encoded.split_at(length);
        let mut check = Check::default();
        check.update(&start);
        check.update(encoded);
        if check.value() != stored {
            return Err(Damage::Head);
        }
        let head: Head = rmp_serde::from_slice(encoded).map_err(|_| Damage::Head)?;
        if !head.is_within_bounds() {
            return Err(Damage::Head);
        }
        let start = (START + length + CHECK) as u64;
        let expected = (start + CHECK as u64).saturating_add(head.bytes);
        if found != expected {
            return Err(Damage::Size { expected, found });
        }
        Ok(Self {
            head,
            file,
            start,
            check,
        })
    }

    /// Its head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Reads and checks the whole state.
    ///
    /// # Errors
    /// See [`Damage`].
    pub fn read(&self) -> Result<Vec<u8>, Damage> {
        let too_large = |_| Damage::Memory(self.head.bytes);
        let length = usize::try_from(self.head.bytes).map_err(too_large)?;
        let mut state = Vec::new();
        let reserved = state.try_reserve_exact(length);
        reserved.map_err(|_| Damage::Memory(self.head.bytes))?;
        let mut check = self.check.clone();
        let mut at = self.start;
        while state.len() < length {
            // In steps that stay in the CPU cache for the check.
            let from = state.len();
            state.resize((from + STEP).min(length), 0);
            let part = &mut state[from..];
            self.file.read_exact_at(part, at)?;
            check.update(part);
            at += part.len() as u64;
        }
        let mut stored = [0; CHECK];
        self.file.read_exact_at(&mut stored, at)?;
        if check.value() != stored {
            return Err(Damage::Bytes);
        }
        Ok(state)
    }
}

/// A running check. It covers everything but the checks themselves.
#[derive(Clone)]
struct Check(XxHash3_128);

impl Default for Check {
    fn default() -> Self {
        Self(XxHash3_128::new())
    }
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Check")
    }
}

impl Check {
    fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn value(&self) -> [u8; CHECK] {
        self.0.finish_128().to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn head(bytes: u64) -> Head {
        Head {
            model: "sha256:0".to_owned(),
            build: "mock".to_owned(),
            adapters: vec![("a".to_owned(), 1.0_f32.to_bits())],
            tokens: vec![1, 70_000, 3],
            bytes,
        }
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn written(head: &Head, state: &[u8]) -> Vec<u8> {
        let (mut writer, mut bytes) = Writer::begin(head);
        for part in state.chunks(7) {
            assert!(writer.part(part));
            bytes.extend(part);
        }
        assert_eq!(writer.left(), 0);
        bytes.extend(writer.end());
        assert_eq!(bytes.len() as u64, head.file_size());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(Head, Vec<u8>), Damage> {
        let saved = Saved::open(file(bytes))?;
        Ok((saved.head().clone(), saved.read()?))
    }

    #[test]
    fn a_state_comes_back_as_it_went() {
        let state: Vec<u8> = (0..3 * STEP + 5).map(|at| (at % 251) as u8).collect();
        let head = head(state.len() as u64);
        assert_eq!(read(&written(&head, &state)).unwrap(), (head, state));
    }

    #[test]
    fn one_bit_anywhere_is_found() {
        let good = written(&head(100), &[42; 100]);
        for bit in 0..8 * good.len() {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_file_of_another_length_is_found() {
        let good = written(&head(100), &[42; 100]);
        for length in 0..good.len() {
            assert!(read(&good[..length]).is_err(), "{length} bytes");
        }
        let longer = [&good[..], &[0]].concat();
        assert!(matches!(read(&longer), Err(Damage::Size { .. })));
    }

    /// A forged file has valid checks.
    #[test]
    fn numbers_out_of_bounds_are_refused_although_the_check_is_right() {
        let wrong: [fn(&mut Head); 8] = [
            |head| head.bytes = 0,
            |head| head.bytes = u64::MAX,
            |head| head.tokens.clear(),
            |head| head.tokens = vec![1; MAX_CONTEXT as usize + 1],
            |head| head.model.clear(),
            |head| head.build = "x".repeat(MAX_BUILD + 1),
            |head| head.adapters = vec![(String::new(), 0); MAX_ADAPTERS + 1],
            |head| head.adapters = vec![("a".repeat(MAX_ADAPTER_DIGEST + 1), 0)],
        ];
        for (index, spoil) in wrong.into_iter().enumerate() {
            let mut head = head(3);
            spoil(&mut head);
            let (_, bytes) = Writer::begin(&head);
            let bytes = [&bytes[..], &[0; 3 + CHECK]].concat();
            let refused = matches!(read(&bytes), Err(Damage::Head | Damage::Size { .. }));
            assert!(refused, "{index}");
        }
    }

    #[test]
    fn a_huge_length_is_refused_before_anything_is_read() {
        let mut bytes = written(&head(3), &[0; 3]);
        bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(read(&bytes), Err(Damage::Head)));
        bytes[8] = 9;
        assert!(matches!(read(&bytes), Err(Damage::Version(9))));
        assert!(matches!(read(b"GGUF"), Err(Damage::Foreign)));
        assert!(matches!(
            read(b"GGUF and then some more of it"),
            Err(Damage::Foreign)
        ));
    }

    #[test]
    fn more_bytes_than_the_head_says_are_not_taken() {
        let (mut writer, _) = Writer::begin(&head(3));
        assert!(!writer.part(&[0; 4]));
        assert!(writer.part(&[0; 3]));
        assert!(!writer.part(&[0]));
    }

    #[test]
    fn what_stands_for_each_other_has_one_identity() {
        assert_eq!(head(1).identity(), head(2).identity());
        let mut other = head(1);
        other.tokens.push(4);
        assert_ne!(head(1).identity(), other.identity());
        assert!(!format!("{other:?}").contains("70000"), "{other:?}");
    }
}
