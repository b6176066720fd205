//! The built `slm-runner` with a tiny random model, spoken to as the daemon does.

mod answers;
mod broken;
mod harness;
mod program;
mod sharing;
mod stopping;
