//! What a runner process does to itself before it reads its first frame.
//!
//! This is the level that needs no permission and no kernel feature, so it can be everywhere.
//! The rest of that level is done by whoever starts the process: empty environment, no open files but its own, its own process group.

use rustix::{
    io,
    process::{DumpableBehavior, Resource, Rlimit, Signal},
};

/// Binds the life of this process to the daemon's, and keeps what is in its memory out of files and debuggers.
///
/// - The kernel kills it when the daemon's spawning thread is gone.
///   A daemon that died before this call goes unseen here, but its end of the socket is closed, and a runner leaves at the end of its input.
/// - It leaves no core file, because a core holds prompts.
/// - Other processes of the same user can neither attach to it nor read its memory.
///
/// Call it first in `main`, before any thread is started.
///
/// # Errors
/// What the kernel says when it refuses one of them; none needs a privilege, so this means a very strange machine.
pub fn at_start() -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )
}
