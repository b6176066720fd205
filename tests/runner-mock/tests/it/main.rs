//! The supervisor and the mock runner together, through their public surface.

#![allow(
    clippy::disallowed_methods,
    reason = "tests may look into /proc and start what they test"
)]

mod answers;
mod faults;
mod process;
#[cfg(target_os = "linux")]
mod sandbox;
mod states;
mod support;
mod time;
