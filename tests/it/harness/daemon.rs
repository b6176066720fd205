//! A running `slmd` of a test.

use std::fs;
use std::process::{Child, Stdio};

use super::{Home, Outcome, wait_until};

/// The daemon of one home. Dropping it stops the daemon and waits for its end.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Option<Child>,
}

impl Daemon {
    /// Starts it on a free port and waits for its note.
    pub(crate) fn start(home: &Home) -> Self {
        let log =
            fs::File::create(home.dir().join("slmd.log")).expect("a writable temporary directory");
        let mut child = home
            .program("slmd")
            .args(["--port", "0"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("slmd starts");
        let pid = child.id();
        let announced = home.home().join("run/slmd.json");
        wait_until("slmd to serve", || {
            if let Some(status) = child.try_wait().expect("our own child") {
                panic!(
                    "slmd ended with {status}: {}",
                    fs::read_to_string(home.dir().join("slmd.log")).unwrap_or_default()
                );
            }
            let text = fs::read(&announced).ok()?;
            let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
            (value["pid"] == pid).then_some(())
        });
        Self { child: Some(child) }
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs until stopped").id()
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(mut self, signal: rustix::process::Signal) -> Outcome {
        let child = self.child.take().expect("it runs until stopped");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).expect("our own child");
        Outcome::of(child.wait_with_output().expect("our own child"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = child.wait();
        }
    }
}
