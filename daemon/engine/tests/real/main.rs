//! The built `slm-runner` with a tiny random model, spoken to as the daemon does.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make files and start programs"
)]

mod adapters;
mod answers;
mod broken;
mod deterministic;
mod harness;
mod images;
mod likelihoods;
mod prefixes;
mod program;
mod sandbox;
mod shapes;
mod sharing;
mod speculation;
mod states;
mod stopping;
mod templates;
mod tools;
mod vectors;
