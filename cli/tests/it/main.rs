//! The program `slm` against a daemon that says what each test wants to hear.
#![expect(
    clippy::disallowed_methods,
    reason = "tests make files and start programs"
)]

mod conversation;
mod create;
mod failures;
mod fake;
mod models;
mod once;
mod place;
mod program;
mod starting;
mod terminal;
