//! An empty network namespace for the runner, see network_namespaces(7).
//!
//! The runner's inherited socket keeps working. Abstract Unix sockets of the machine, which older versions of Landlock cannot close,
//! are not in this namespace.

use std::path::PathBuf;

use rustix::{io, thread::UnshareFlags};

use super::fs;

/// A network namespace, by the Linux kernel's name for it: `net:[4026531840]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Network(Option<PathBuf>);

impl Network {
    /// The namespace of this process. Two unknown namespaces count as the same.
    pub(super) fn of_this_process() -> Self {
        Self(fs::network())
    }
}

/// Moves the calling thread, and threads that it starts later, into a new network namespace.
///
/// Without the right to do that, it makes a user namespace first, if the machine permits it; no other thread may run then.
///
/// # Errors
/// The system's error at the second try.
pub(super) fn leave() -> Result<(), String> {
    unshare(UnshareFlags::NEWNET)
        .or_else(|_| unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET))
        .map_err(|error| error.to_string())
}

#[expect(
    deprecated,
    reason = "its replacement is unsafe because it can unshare descriptors, which stay shared here"
)]
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    rustix::thread::unshare(flags)
}
