//! Weights that a Modelfile names: which files they are, and how they get to the daemon.

mod find;
mod send;

pub(crate) use self::find::{Base, PathRoots};
pub(crate) use self::send::Sender;
