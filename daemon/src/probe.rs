//! Runs a probe: a short process of the runner program that prints JSON, within limits on time and output.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use supervisor::Program;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Most bytes of the output that are read.
const MAX_OUTPUT: u64 = 1024 * 1024;

/// Most bytes of standard error that are read.
const MAX_ERRORS: u64 = 64 * 1024;

/// Runs `PROGRAM probe ARGUMENTS…` in the environment of runners, and reads what it prints.
///
/// # Errors
/// Says how the probe failed: it cannot be started, takes too long, ends by a signal, or prints something else.
#[expect(
    clippy::disallowed_methods,
    reason = "a probe is no runner: this function waits for it, and ends it when it is dropped"
)]
pub(crate) async fn run<T: DeserializeOwned>(
    program: &Program,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    limit: Duration,
) -> Result<T, String> {
    let mut child = tokio::process::Command::new(&program.path)
        .arg("probe")
        .args(arguments)
        .env_clear()
        .envs(program.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let ended = timeout(limit, async {
        let (output, errors) = tokio::join!(read(output, MAX_OUTPUT), read(errors, MAX_ERRORS));
        // A pipe that was not read to its end is closed now, so the process ends too.
        (child.wait().await, output, errors)
    });
    let (status, output, errors) = ended
        .await
        .map_err(|_| format!("the probe took longer than {} s", limit.as_secs()))?;
    let status = status.map_err(|error| error.to_string())?;
    if !status.success() {
        let words = String::from_utf8_lossy(&errors);
        let last = words.lines().last().unwrap_or_default();
        return Err(format!("{status}: {last}"));
    }
    serde_json::from_slice(&output).map_err(|error| error.to_string())
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // A pipe that breaks has an end all the same.
        let _ = pipe.take(limit).read_to_end(&mut bytes).await;
    }
    bytes
}

/// Programs that answer probes in tests.
#[cfg(test)]
pub(crate) mod script {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use supervisor::Program;

    /// A shell script in this folder as the program of runners.
    pub(crate) fn program(folder: &Path, body: &str) -> Program {
        let path = folder.join("runner");
        let script = format!("#!/bin/sh\n[ \"$1\" = ready ] && exit\n{body}\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        // Linux refuses to start a file while a process that another test forks has it open for writing.
        while std::process::Command::new(&path)
            .arg("ready")
            .status()
            .is_err()
        {}
        Program::new(path)
    }

    /// The line of a script that counts a probe.
    pub(crate) fn count(folder: &Path) -> String {
        format!("echo asked >> {}", folder.join("asked").display())
    }

    /// The number of counted probes.
    pub(crate) fn counted(folder: &Path) -> usize {
        std::fs::read_to_string(folder.join("asked"))
            .unwrap_or_default()
            .lines()
            .count()
    }
}
