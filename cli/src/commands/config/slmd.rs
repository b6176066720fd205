//! The program `slmd` as the reader and writer of `config.yaml`, without a running daemon.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use api::ConfigResponse;

use crate::client::{Error, program_beside_us};
use crate::context::Context;
use crate::error::Failure;
use crate::fs;

/// Most bytes of the file; a longer one is an error of `slmd` too.
const MAX_FILE: usize = 1 << 20;

/// Path of the file.
pub(super) fn file(context: &Context) -> PathBuf {
    context.home.root().join("config.yaml")
}

/// The text of the file; empty without one.
pub(super) fn text(context: &Context) -> anyhow::Result<String> {
    let path = file(context);
    let bytes = match fs::read(&path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    String::from_utf8(bytes)
        .map_err(|_| Failure::new(format!("`{}` is not a text in UTF-8", path.display())).into())
}

/// The settings that a daemon would start with in the environment of this program.
pub(super) fn show(context: &Context) -> anyhow::Result<ConfigResponse> {
    let text = run(context, &["show"], "")?;
    serde_json::from_str(&text).context("`slmd` answered something else than settings")
}

/// Runs `slmd config` with these arguments and this text as standard input. Returns its output.
///
/// # Errors
/// The mistake that it reports.
#[expect(
    clippy::disallowed_methods,
    reason = "the program ends at once, and this function waits for it"
)]
pub(super) fn run(context: &Context, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let program = program_beside_us();
    if !matches!(fs::kind(&program)?, Some(fs::Kind::File(_))) {
        return Err(Error::NoProgram(program).into());
    }
    let failed = |error: std::io::Error| {
        Failure::new(format!("cannot run `{}`: {error}", program.display()))
    };
    let mut child = Command::new(&program)
        .arg("--home")
        .arg(context.home.root())
        .arg("config")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that reads no input, or ended with an error, closes it.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return String::from_utf8(output.stdout).context("`slmd` printed no text");
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let message = message.trim();
    let message = message.strip_prefix("slmd: ").unwrap_or(message);
    Err(Failure::new(message.to_owned())
        .hint("nothing is written; `slm config get` lists the keys, and docs/configuration.md describes them")
        .code("config_invalid")
        .into())
}
