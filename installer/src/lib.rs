//! Common parts of the commands of `cargo xtask`: the folders of the project, its build, and starting other programs.
//!
//! The benches in `tests/bench` use them too, so that they build and start programs in the same way.

pub mod environment;
pub mod files;
mod libraries;
pub mod native;
pub mod peer;
pub mod process;
pub mod say;
pub mod workspace;
