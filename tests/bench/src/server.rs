//! A server process of a measurement: started on a free port, stopped and reaped on drop.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use installer::process;

/// Timeout until a server answers, on a cold disk and a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Interval of polling a starting server: short, because starts are measured too.
const LOOK: Duration = Duration::from_millis(2);

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    base: String,
}

impl Server {
    /// Starts a command that serves HTTP at `port`, and waits until `path` answers with success.
    ///
    /// # Errors
    /// It cannot be started, ends at once, or does not answer in time.
    pub(super) fn start(command: &mut Command, port: u16, path: &str) -> Result<Self> {
        let name = process::shown(command);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut server = Self {
            child,
            base: format!("http://127.0.0.1:{port}"),
        };
        let url = format!("{}{path}", server.base);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = server.child.try_wait()? {
                bail!("{name} ended before it answered: {status}");
            }
            if ureq::get(&url).call().is_ok() {
                return Ok(server);
            }
            std::thread::sleep(LOOK);
        }
        bail!("{name} did not answer within {PATIENCE:?}")
    }

    /// `http://` and the address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Server {
    /// Kills it.
    pub(super) fn kill(mut self) {
        // The only failure is a process that has already ended.
        let _ = self.child.kill();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that slmd stops its runners; slmd limits the time for that.
        end(self.child.id());
        let _ = self.child.wait();
    }
}

/// Asks a process to end.
pub(super) fn end(process: u32) {
    if let Some(id) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // A process that has already ended needs no signal.
        let _ = kill_process(id, Signal::TERM);
    }
}

/// A TCP port that was free a moment ago.
///
/// # Errors
/// There is none.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
    Ok(listener.local_addr()?.port())
}
