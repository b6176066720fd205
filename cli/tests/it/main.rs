//! The program `slm` against a scripted daemon.
#![expect(
    clippy::disallowed_methods,
    reason = "tests make files and start programs"
)]

mod conversation;
mod create;
mod failures;
mod fake;
mod launching;
mod models;
mod once;
mod place;
mod program;
mod starting;
mod terminal;
