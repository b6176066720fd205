//! A network of a runner's own, in which there is nothing: a namespace, see network_namespaces(7).
//!
//! It has one socket, which it was handed, and that goes on working. What it could still find in the machine's network, such as
//! abstract Unix sockets on kernels that cannot close those, is not in this one.

use std::path::PathBuf;

use rustix::{io, thread::UnshareFlags};

use super::fs;

/// A network, by the name that the kernel gives it: `net:[4026531840]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Network(Option<PathBuf>);

impl Network {
    /// The one that this process is in. One that cannot be told is like any other that cannot.
    pub(super) fn of_this_process() -> Self {
        Self(fs::network())
    }
}

/// Leaves the network of the machine, for the calling thread and those that it starts.
///
/// Who may not do that may do it as a user of a namespace of its own, where the machine permits those;
/// no other thread must run then.
///
/// # Errors
/// What the kernel said to the second.
pub(super) fn leave() -> Result<(), String> {
    unshare(UnshareFlags::NEWNET)
        .or_else(|_| unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET))
        .map_err(|error| error.to_string())
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe for the sake of shared descriptors, which stay shared here"
)]
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    rustix::thread::unshare(flags)
}
