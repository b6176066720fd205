//! The daemon's side of the protocol: starts, feeds, watches and stops runner processes.
//!
//! ```text
//! Spawner ──spawn──► Runner (handle) ──commands──► service (one task per runner) ◄──socket──► process
//!                      └─generate──► Generation ◄──queue──┘       └── watches exit, progress and slow readers
//! ```
//!
//! - One thread that never ends starts all processes ([`Spawner`]).
//! - One task per runner owns its socket, its process and the table of open requests. The rest of the daemon holds a [`Runner`].
//! - Each request has a bounded queue, so a slow reader delays only its own answer ([`Generation`]).
//! - A runner is hostile code: every frame is bounded and checked, and a runner is killed at its first breach of the protocol.
//! - Each call ends with its answer, or with an [`Error`] that says how the runner ended.
//! - Every process is reaped, and [`Spawner::drained`] waits for that.

mod codec;
mod error;
mod launch;
mod launcher;
mod outbox;
mod process;
mod program;
mod queue;
mod runner;
mod service;
mod spawner;
mod stderr;
mod table;

pub use error::{Cause, Error, Exit, Violation};
pub use launch::{Launch, Launched, Prepared, Process, Reading, Writing};
pub use program::{Files, Options, Program};
pub use runner::{Generation, Runner, Step};
pub use spawner::{Spare, Spawner};
pub use table::StateOutcomes;
