//! The runner protocol, and the daemon's side of it.
//!
//! A *runner* is one expendable process that holds one loaded model.
//! This crate says what daemon and runner tell each other ([`protocol`]) and how it is put on the wire ([`frame`]).
//! With the feature `supervisor` it also starts, feeds, watches and stops runner processes, and ships the mock runner.
//!
//! It never knows the store, REST shapes, scheduling policy or llama.cpp: anything that speaks the protocol is an engine.

pub mod frame;
pub mod protocol;
