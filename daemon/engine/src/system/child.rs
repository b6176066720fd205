//! This program in a further process, for work that may crash or hang: checks of CPU modules and probes of backends.
#![expect(
    clippy::disallowed_methods,
    reason = "the process is waited for and ended here"
)]

use std::{
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::system::fs;

/// Longest run. A check takes about 50 milliseconds, and a driver that compiles its first kernels some seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most bytes of each output that are read.
const MAX_OUTPUT: u64 = 1024 * 1024;

/// The environment of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    /// Empty.
    Empty,
    /// This process's own: drivers read which devices they may use from it.
    Kept,
}

/// How the process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Its standard output.
    pub(crate) output: String,
    /// The last line of its standard error.
    pub(crate) errors: String,
}

/// Runs this program with these arguments to its end.
///
/// # Errors
/// It cannot be started, or does not end in time; says which.
pub(crate) fn run(arguments: &[&str], environment: Environment) -> Result<Ended, String> {
    let program = fs::program().ok_or("cannot find the program")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if environment == Environment::Empty {
        command.env_clear();
    }
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let output = collect(child.stdout.take());
    let errors = collect(child.stderr.take());
    let status = wait(&mut child)?;
    let last = |text: String| text.lines().last().unwrap_or_default().trim().to_owned();
    Ok(Ended {
        status,
        output: output.join().unwrap_or_default(),
        errors: last(errors.join().unwrap_or_default()),
    })
}

/// Runs a probe of this program, and reads the JSON that it prints.
///
/// # Errors
/// Says how the probe failed.
pub(crate) fn json(arguments: &[&str], switch: Option<&str>) -> Result<Value, String> {
    let arguments: Vec<&str> = arguments.iter().copied().chain(switch).collect();
    let ended = run(&arguments, Environment::Kept).map_err(|fault| format!("its probe {fault}"))?;
    if !ended.status.success() {
        return Err(match ended.errors.is_empty() {
            true => format!("its probe ended by {}", ended.status),
            false => ended.errors,
        });
    }
    serde_json::from_str(&ended.output)
        .map_err(|error| format!("its probe answered no JSON: {error}"))
}

/// Reads a pipe on a thread, because a full pipe would stop the process. What follows the limit is read and dropped.
fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let Some(mut pipe) = pipe else {
            return String::new();
        };
        let mut bytes = Vec::new();
        // A pipe that breaks has an end all the same.
        let _ = pipe.by_ref().take(MAX_OUTPUT).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child) -> Result<ExitStatus, String> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if begun.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(2)),
            _ => {
                // It may have ended meanwhile, which is as good.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("took longer than {} s", PATIENCE.as_secs()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This program is the test harness here.
    #[test]
    fn what_a_process_wrote_and_how_it_ended_is_told() {
        let ended = run(&["--help"], Environment::Empty).unwrap();
        assert!(ended.status.success());
        assert!(ended.output.starts_with("Usage: "), "{}", ended.output);
        let ended = run(&["--no-such-option"], Environment::Kept).unwrap();
        assert!(!ended.status.success());
        assert!(ended.errors.contains("no-such-option"), "{}", ended.errors);
    }

    #[test]
    fn more_than_the_limit_is_dropped() {
        let long = std::io::repeat(b'x').take(MAX_OUTPUT + 7);
        assert_eq!(collect(Some(long)).join().unwrap().len() as u64, MAX_OUTPUT);
    }
}
