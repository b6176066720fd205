//! What the chores of the project share: where it lies, how it is built, and how other programs are started.
//!
//! The benches in `tests/bench` use it too, so that they build and start the programs as the chores do.

pub mod environment;
pub mod files;
mod libraries;
pub mod native;
pub mod peer;
pub mod process;
pub mod say;
pub mod workspace;
