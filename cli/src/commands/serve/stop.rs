//! `slm serve --stop`: ends the daemon of this home in order.
//!
//! A process id in a file may be that of another program by now, so the signal goes to the process that listens at the
//! socket, and only if it is the one that the note names.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::json;

use crate::client::{DaemonConnection, reach};
use crate::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::fs;

/// How long the end may take: the grace period, saving conversations, and stopping runners.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);

/// Stops it, waits for its end, and says so. None there to stop is as good.
pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let reached = match reach(&context.home).await {
        Ok(reached) => reached,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Failure::new(format!("cannot stop the daemon: {error}"))
                .hint("another user runs it, who can stop it")
                .code("daemon_forbidden")
                .into());
        }
        Err(_) => return report_stopped(context, None),
    };
    let pid = verified(context, &reached)?;
    // The daemon would wait for an open connection to ask something.
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
                "process {} was told to stop and still runs after {} seconds",
                pid.as_raw_nonzero(),
                PATIENCE.as_secs()
            );
            return Err(Failure::new(text)
                .hint("`slm logs` says what it does")
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

/// Whether the process runs; a zombie does not.
fn is_alive(pid: Pid) -> bool {
    if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    match fs::read(stat.as_ref(), 4096) {
        Ok(stat) => !is_zombie(&String::from_utf8_lossy(&stat)),
        // A system without such files reaps by itself.
        Err(_) => true,
    }
}

/// The state stands behind the name, which is in parentheses and may hold any character.
fn is_zombie(stat: &str) -> bool {
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| matches!(rest.trim_start().chars().next(), Some('Z' | 'X')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_only_waits_to_be_reaped_is_not_alive() {
        assert!(is_zombie("12 (slmd) Z 1 12 12"));
        assert!(!is_zombie("12 (a) Z b) S 1 12 12"));
        assert!(!is_zombie(""));
        assert!(is_alive(rustix::process::getpid()));
    }
}
