//! What a runner consists of: a process, or a mock runner inside this one.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use rustix::process::{Pid, Signal};
use tokio::{process::Child, task::JoinHandle};

/// The thing that lives, ends, and can be ended.
#[derive(Debug)]
pub(super) enum Body {
    /// A process of its own, in a process group of its own.
    Process(Child),
    /// The mock runner as a task of this runtime.
    Task {
        /// Ends with what a process would have ended with.
        task: JoinHandle<ExitStatus>,
        /// The end, once seen or made.
        status: Option<ExitStatus>,
    },
}

impl Body {
    /// Waits for its end and reaps it. Can be dropped and called again, also after the end.
    pub(super) async fn wait(&mut self) -> Option<ExitStatus> {
        match self {
            Self::Process(child) => child.wait().await.ok(),
            Self::Task {
                status: Some(status),
                ..
            } => Some(*status),
            Self::Task { task, status } => {
                // A panic of the mock is a crash like any other.
                let end = task
                    .await
                    .unwrap_or_else(|_| ExitStatus::from_raw(Signal::ABORT.as_raw()));
                *status = Some(end);
                Some(end)
            }
        }
    }

    /// Id of the process, until it is reaped.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Process(child) => child.id(),
            Self::Task { .. } => None,
        }
    }

    /// Sends a signal to it and its process group. Nothing happens to one that has ended.
    pub(super) fn signal(&mut self, signal: Signal) {
        match self {
            Self::Process(child) => {
                // The id is there until the process is reaped, so it cannot be somebody else's by now.
                if let Some(pid) = child.id().and_then(to_pid) {
                    // Its group has its children too; it itself may have left the group.
                    let _ = rustix::process::kill_process_group(pid, signal);
                    let _ = rustix::process::kill_process(pid, signal);
                }
            }
            Self::Task { task, status } => {
                if status.is_none() && !task.is_finished() {
                    task.abort();
                    *status = Some(ExitStatus::from_raw(signal.as_raw()));
                }
            }
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

/// Resident bytes of a process, which this system does not tell without privileges.
#[cfg(not(target_os = "linux"))]
pub(super) fn resident_bytes(_pid: u32) -> Option<u64> {
    None
}
