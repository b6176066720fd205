//! A runner process, as the system shows it.

use std::process::ExitStatus;

use futures::{FutureExt as _, future::BoxFuture};
use rustix::process::{Pid, Signal};
use tokio::process::Child;

use super::launch::Process;

/// A child that leads a process group.
impl Process for Child {
    fn wait(&mut self) -> BoxFuture<'_, Option<ExitStatus>> {
        Self::wait(self).map(Result::ok).boxed()
    }

    fn pid(&self) -> Option<u32> {
        self.id()
    }

    fn signal(&mut self, signal: Signal) {
        // The id is known until the process is reaped, so it cannot belong to another process yet.
        if let Some(pid) = self.id().and_then(to_pid) {
            // The group holds its children; the runner itself may have left the group.
            let _ = rustix::process::kill_process_group(pid, signal);
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

fn to_pid(raw: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(raw).ok()?)
}

/// Resident bytes of a process, from the second field of its `statm` (proc(5)), which counts pages.
#[cfg(target_os = "linux")]
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    use rustix::fs::{Mode, OFlags};

    let file = rustix::fs::open(
        format!("/proc/{pid}/statm"),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let mut text = [0; 256];
    let length = rustix::io::read(&file, &mut text).ok()?;
    let pages = str::from_utf8(&text[..length])
        .ok()?
        .split(' ')
        .nth(1)?
        .parse::<u64>()
        .ok()?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

/// Resident bytes of a process, which this system reports only to privileged processes.
#[cfg(not(target_os = "linux"))]
pub(super) fn resident_bytes(_pid: u32) -> Option<u64> {
    None
}
