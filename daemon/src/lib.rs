//! The service `slmd`: keeps models on disk, loads them into runners for requests, and unloads them when they are idle.
//!
//! Read [`run`] first: it tells the life of the process.
//! [`accept`] takes HTTP connections. A request passes the [`origin_check`] and reaches a route of a [`dialect`] or of slm itself,
//! which calls [`serve`], the store ([`registry`]), the [`scheduler`] or the [`transfers`]. Only [`error`] turns failures into
//! responses.
//!
//! The daemon links no llama.cpp, which runs in the runner processes, and opens no file of the store.

pub mod accelerators;
pub mod accept;
pub mod adapters;
pub mod answer;
pub mod app;
mod apply;
pub mod ask;
pub mod blocking;
mod budget;
pub mod config;
pub mod cpu;
mod described;
pub mod descriptors;
mod detached;
pub mod devices;
pub mod dialect;
mod doctor;
pub mod duration;
pub mod env;
pub mod error;
pub mod events;
pub mod extract;
pub mod flags;
pub mod fs;
mod host;
mod ignored;
pub mod images;
mod kept;
mod lines;
pub mod listen;
mod loaded;
pub mod log;
mod machine_key;
pub mod memory;
pub mod needs;
pub mod note;
pub mod openapi;
pub mod operations;
pub mod options;
pub mod origin_check;
mod path;
mod pins;
pub mod planner;
mod probe;
mod progress;
pub mod prompt;
mod random;
pub mod requirements;
pub mod responses;
pub mod router;
mod routes;
pub mod run;
pub mod scheduler;
pub mod serve;
pub mod shutdown;
pub mod sources;
pub mod sweep;
pub mod template;
pub mod think;
pub mod tools;
pub mod transfers;
pub mod transport;
pub mod turn;
pub mod unsupported;
pub mod variants;
pub mod watchdog;
mod wire;

pub use run::main;

/// Version of this daemon.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
