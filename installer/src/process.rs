//! Starting other programs, with errors that name the command line.
#![expect(
    clippy::disallowed_methods,
    reason = "this file starts all other programs"
)]

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use crate::environment;

/// A command that inherits the terminal, and the environment without cargo's additions.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    match environment::library_path() {
        Some(path) => command.env("LD_LIBRARY_PATH", path),
        None => command.env_remove("LD_LIBRARY_PATH"),
    };
    command
}

/// Runs a command to its end, with its output on our terminal.
///
/// # Errors
/// It could not be started, or did not succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", shown(command));
    }
    Ok(())
}

/// Replaces this process by another program; returns only on failure.
///
/// # Errors
/// It could not be started.
pub fn replace(command: &mut Command) -> Result<()> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", shown(command)))
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// It could not be started, did not succeed, or wrote something that is not UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", shown(command), output.status);
    }
    text(command, output.stdout)
}

/// The same for a verbose program: its messages are shown only if it fails.
///
/// # Errors
/// As [`output`]; the error ends with the last lines that the program wrote.
pub fn quiet(command: &mut Command) -> Result<String> {
    let output = captured(command)?;
    text(command, output.stdout)
}

/// Runs a command to its end and returns its standard error.
///
/// # Errors
/// As [`quiet`].
pub fn messages(command: &mut Command) -> Result<String> {
    let output = captured(command)?;
    text(command, output.stderr)
}

fn captured(command: &mut Command) -> Result<Output> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n");
        bail!("{} failed: {}\n{last}", shown(command), output.status);
    }
    Ok(output)
}

fn text(command: &Command, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes)
        .with_context(|| format!("{} wrote something that is not text", shown(command)))
}

/// The command line as a person would type it.
pub fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(OsStr::to_string_lossy));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_line() {
        let error = run(command("false").arg("--really")).expect_err("`false` fails");
        assert!(
            error.to_string().starts_with("false --really failed"),
            "{error}"
        );
    }

    #[test]
    fn what_a_quiet_program_said_is_part_of_its_failure() {
        let error = quiet(command("sh").args(["-c", "echo too hot >&2; exit 1"]))
            .expect_err("it exits with 1");
        assert!(error.to_string().ends_with("\ntoo hot"), "{error}");
        let said = quiet(command("sh").args(["-c", "echo noise >&2; echo 7"]));
        assert_eq!(said.expect("it exits with 0"), "7\n");
        let said = messages(command("sh").args(["-c", "echo noise >&2; echo 7"]));
        assert_eq!(said.expect("it exits with 0"), "noise\n");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut command("no-such-program-here")).expect_err("it does not exist");
        assert_eq!(error.to_string(), "cannot start no-such-program-here");
    }
}
