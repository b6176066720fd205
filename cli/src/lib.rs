//! The thin client `slm`: arguments to requests, replies to text. It owns every text that a user reads.
//!
//! Reading order: [`run()`] is the life of one command, `args` the command line, `commands` has one
//! file per command, `repl` is the conversation, `client` talks to the daemon, `output` is the only
//! file that prints, and `error` the only one where an error becomes text.
//!
//! The client knows neither the store with its files and index, nor runners: it asks the daemon.

mod answer;
mod args;
mod client;
mod commands;
mod completion;
mod context;
mod env;
mod error;
mod exit;
mod fetch;
mod format;
mod fs;
mod home;
mod images;
mod interrupt;
mod mistake;
mod output;
mod overview;
mod params;
mod reference;
mod repl;
mod replaced;
mod run;
mod settings;
mod text;
mod timings;
mod transfer;
mod weights;

pub use crate::exit::Exit;
pub use crate::reference::reference;
pub use crate::run::{main, run};
