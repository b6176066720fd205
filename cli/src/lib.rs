//! The thin client `slm`: arguments to requests, replies to text. It owns every word that a person
//! reads.
//!
//! Reading order: [`run()`] tells the life of one command, `args` is the command line, `commands` has
//! one file per command, `repl` is the conversation, `client` talks to the daemon, `output` is the
//! one place that prints, `error` the one place where an error becomes text.
//!
//! What is absent: no knowledge of the store, its files or its index, and none of runners. All of
//! that is asked of the daemon.

mod answer;
mod args;
mod client;
mod commands;
mod completion;
mod context;
mod env;
mod error;
mod exit;
mod format;
mod fs;
mod home;
mod images;
mod interrupt;
mod mistake;
mod output;
mod params;
mod reference;
mod repl;
mod run;
mod settings;
mod text;
mod timings;
mod weights;

pub use crate::exit::Exit;
pub use crate::reference::reference;
pub use crate::run::{main, run};
