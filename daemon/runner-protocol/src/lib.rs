//! What daemon and runner tell each other.
//!
//! A *runner* is one expendable process that holds one loaded model.
//! This crate has the messages of both sides, how they are put on the wire ([`frame`]), the images of a prompt ([`images`]),
//! and how a state that one runner hands out lies in the file that another is handed ([`state`]).
//!
//! It never knows the store, REST shapes, scheduling policy or llama.cpp: anything that speaks the protocol is an engine.

pub mod frame;
pub mod images;
mod protocol;
pub mod state;

pub use protocol::*;
