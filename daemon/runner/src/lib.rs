//! The runner protocol, and the daemon's side of it.
//!
//! A *runner* is one expendable process that holds one loaded model.
//! This crate says what daemon and runner tell each other ([`protocol`]), how it is put on the wire ([`frame`]),
//! and how a state that one runner hands out lies in the file that another is handed ([`state`]).
//! Behind features it also has
//! - `child`: what a runner process does to itself before anything else ([`confine`]);
//! - `mock`: a runner without an engine, which answers and fails on command ([`mock`]);
//! - `supervisor`: the daemon's side, which starts, feeds, watches and stops runners ([`supervisor`]).
//!
//! It never knows the store, REST shapes, scheduling policy or llama.cpp: anything that speaks the protocol is an engine.

#[cfg(feature = "child")]
pub mod confine;
pub mod frame;
pub mod images;
#[cfg(feature = "mock")]
pub mod mock;
pub mod protocol;
pub mod state;
#[cfg(feature = "supervisor")]
pub mod supervisor;
