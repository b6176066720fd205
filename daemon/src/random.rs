//! Random numbers of the standard library.

use std::hash::{BuildHasher, RandomState};

/// 64 random bits: each `RandomState` has other keys.
pub(crate) fn bits() -> u64 {
    RandomState::new().hash_one(0)
}
