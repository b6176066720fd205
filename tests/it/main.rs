//! Whole programs: the real `slm`, the real `slmd`, the mock runner or the real one, in a home of their own.
//!
//! These tests prove that the parts are wired; edge cases of one part are tested in its own crate.

mod answers;
mod architecture;
mod artifacts;
mod crash;
mod faults;
mod harness;
mod hostile;
mod images;
mod life;
mod models;
mod networks;
mod pulls;
mod pushes;
mod real;
#[cfg(target_os = "linux")]
mod sandbox;
mod states;
mod translated;
mod vectors;
