//! Child processes: pip, and Docker's credential helpers.
//!
//! A child leads its own process group. Dropping its handle kills the group, so no child outlives the operation that started it.
//! It inherits the environment, because that is where the user's settings are.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// Starts a command with some more variables; standard output is piped.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where this crate starts processes; each is watched, and ends with its owner"
)]
pub(crate) fn start(
    command: &[OsString],
    variables: &[(&str, &OsStr)],
    input: Stdio,
    errors: Stdio,
) -> io::Result<(Group, Child)> {
    let process = Command::new(&command[0])
        .args(&command[1..])
        .envs(variables.iter().copied())
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(errors)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let id = process
        .id()
        .and_then(|id| id.try_into().ok())
        .and_then(Pid::from_raw);
    Ok((Group(id), process))
}

/// A process group that ends with its owner. It has no number once its leader was waited for, because the number is then free.
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// Its leader was waited for.
    pub(crate) fn is_over(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The group may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
