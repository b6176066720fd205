//! `slm serve --stop`: stops the daemon of this home gracefully.
//!
//! The process id in a file may belong to another program by now, so the signal goes to the process that listens at the
//! socket, and only if the note names the same process.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::json;

use crate::client::{DaemonConnection, reach};
use crate::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::fs;

/// Timeout of the shutdown: grace period, saving states, stopping runners.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);

/// Stops the daemon and waits for its end. Succeeds if no daemon runs.
pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let reached = match reach(&context.home).await {
        Ok(reached) => reached,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Failure::new(format!("cannot stop the daemon: {error}"))
                .hint("it belongs to another user")
                .code("daemon_forbidden")
                .into());
        }
        Err(_) => return report_stopped(context, None),
    };
    let pid = verified(context, &reached)?;
    // The daemon would wait for a request on an open connection.
    drop(reached);
    kill_process(pid, Signal::TERM).map_err(|error| {
        Failure::new(format!(
            "cannot stop process {}: {error}",
            pid.as_raw_nonzero()
        ))
    })?;
    let _spinner = context.out.spinner("waiting for the daemon to end");
    let deadline = Instant::now() + PATIENCE;
    while is_alive(pid) {
        if Instant::now() >= deadline {
            let text = format!(
                "process {} still runs {} seconds after the signal to stop",
                pid.as_raw_nonzero(),
                PATIENCE.as_secs()
            );
            return Err(Failure::new(text)
                .hint("`slm logs` shows what it does")
                .into());
        }
        tokio::time::sleep(PAUSE).await;
    }
    report_stopped(context, Some(pid))
}

fn report_stopped(context: &Context, pid: Option<Pid>) -> anyhow::Result<Exit> {
    let pid = pid.map(|pid| pid.as_raw_nonzero().get());
    if context.out.json() {
        context.out.json_document(&json!({ "stopped": pid }))?;
        return Ok(Exit::Ok);
    }
    let home = context.home.root().display();
    context.out.note(&match pid {
        Some(pid) => format!("stopped the daemon of `{home}` (process {pid})"),
        None => format!("no daemon is running for `{home}`"),
    });
    Ok(Exit::Ok)
}

/// The pid of the listening process, if `slmd.json` of this home names the same pid.
fn verified(context: &Context, reached: &DaemonConnection) -> anyhow::Result<Pid> {
    let noted = reached.noted;
    match (reached.pid, noted) {
        (Some(listening), Some(noted)) if listening == noted => {}
        (listening, noted) => {
            let name = |pid: Option<i32>| {
                pid.map_or("no process".to_owned(), |pid| format!("process {pid}"))
            };
            let text = format!(
                "{} listens at `{}`, and `{}` names {}",
                name(listening),
                reached.socket.display(),
                context.home.note().display(),
                name(noted)
            );
            return Err(Failure::new(text)
                .hint("end it as it was started")
                .code("daemon_unknown")
                .into());
        }
    }
    let pid = noted.and_then(Pid::from_raw);
    Ok(pid.ok_or_else(|| Failure::new("the daemon has no process id"))?)
}

/// Whether the process runs; a zombie does not count.
fn is_alive(pid: Pid) -> bool {
    if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    match fs::read(stat.as_ref(), 4096) {
        Ok(stat) => !is_zombie(&String::from_utf8_lossy(&stat)),
        // Without /proc there is no way to see a zombie.
        Err(_) => true,
    }
}

/// The state follows the name, which is in parentheses and may contain any character.
fn is_zombie(stat: &str) -> bool {
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| matches!(rest.trim_start().chars().next(), Some('Z' | 'X')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_is_not_alive() {
        assert!(is_zombie("12 (slmd) Z 1 12 12"));
        assert!(!is_zombie("12 (a) Z b) S 1 12 12"));
        assert!(!is_zombie(""));
        assert!(is_alive(rustix::process::getpid()));
    }
}
