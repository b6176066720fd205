//! The messages between daemon and runner.
//!
//! A *runner* is one expendable process that holds one loaded model.
//! This crate has the messages of both sides, their frames on the wire ([`frame`]), the images of a prompt ([`images`]), and the file
//! format of saved states ([`state`]). A process can be started before its model is known ([`spare`]).
//!
//! It never knows the store, REST shapes, scheduling policy or llama.cpp: anything that speaks the protocol is an engine.
//!
//! The daemon sends [`Request`]s, each under an id of its choice.
//! The runner answers each with a stream of [`Reply`]s under the same id. The stream ends in **exactly one** terminal [`Event`], see
//! [`Event::is_terminal`].
//! Requests run side by side; replies to different ids interleave.
//! The first frame on a new connection is the runner's [`Hello`]; the daemon kills a runner of another version.
//!
//! The daemon builds every field from checked values and passes nothing through that it has not read, image files aside.
//! Times are in nanoseconds of the runner's monotonic clock.

mod answer;
mod bytes;
mod call;
mod chat;
mod embed;
mod event;
pub mod frame;
mod generate;
mod hello;
mod host_cache;
pub mod images;
mod load;
mod sampling;
pub mod spare;
pub mod state;

pub use answer::*;
pub use bytes::*;
pub use call::*;
pub use chat::*;
pub use embed::*;
pub use event::*;
pub use generate::*;
pub use hello::*;
pub use host_cache::*;
pub use images::{Image, Images, MAX_IMAGE_BYTES, MAX_IMAGES, MAX_IMAGES_BYTES, MAX_MARK_BYTES};
pub use load::*;
pub use sampling::*;
