//! Whole programs: the real `slm`, the real `slmd`, and the mock or the real runner, in a temporary home.
//!
//! These tests prove that the parts work together; edge cases of one part are tested in its crate.

mod answers;
mod architecture;
mod artifacts;
mod backends;
mod clients;
mod config;
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
mod variants;
mod vectors;
