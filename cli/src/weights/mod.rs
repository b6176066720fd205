//! Weights in a Modelfile: their files, and their way to the daemon.

mod find;
mod send;

pub(crate) use self::find::{Base, PathRoots};
pub(crate) use self::send::Sender;
