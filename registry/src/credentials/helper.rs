//! Credential helpers of Docker: programs `docker-credential-NAME` that look a login up in the user's key ring.
//!
//! The host goes to standard input, and a JSON object comes back. A helper has ten seconds, and its answer is bounded.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Login, Secret};
use crate::child;

/// How long a helper may take. Some ask the user.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer.
const ANSWER_MAX: u64 = 64 << 10;

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    user: String,
    #[serde(rename = "Secret", default)]
    secret: Secret,
}

/// The login that a helper has for a host; `None` where it has none.
///
/// # Errors
/// Why it gave no answer; nothing of what it said.
pub(super) async fn get(name: &str, host: &str) -> Result<Option<Login>, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.contains("..") || !name.chars().all(is_name) {
        return Err("its name is none of a program".to_owned());
    }
    let asked = tokio::time::timeout(PATIENCE, ask(name, host));
    let (is_good, said) = asked
        .await
        .map_err(|_| format!("it did not answer within {} s", PATIENCE.as_secs()))?
        .map_err(|error| error.to_string())?;
    if !is_good {
        let text = String::from_utf8_lossy(&said).to_ascii_lowercase();
        return match text.contains("not found") || text.contains("no credentials") {
            true => Ok(None),
            false => Err("it ended with an error".to_owned()),
        };
    }
    let answer: Answer = serde_json::from_slice(&said)
        .map_err(|_| "its answer is not in the form of helpers".to_owned())?;
    Ok(match (answer.user.as_str(), answer.secret.reveal()) {
        (_, "") => None,
        ("<token>", _) => Some(Login::Identity(answer.secret)),
        (user, _) => Some(Login::Password {
            user: user.to_owned(),
            password: answer.secret,
        }),
    })
}

/// Whether it ended well, and what it said.
async fn ask(name: &str, host: &str) -> std::io::Result<(bool, Vec<u8>)> {
    let words = [format!("docker-credential-{name}"), "get".to_owned()].map(OsString::from);
    let (mut group, mut process) = child::start(&words, &[], Stdio::piped(), Stdio::null())?;
    if let Some(mut input) = process.stdin.take() {
        // A helper that ignores its input reports that in its answer.
        let _ = input.write_all(host.as_bytes()).await;
    }
    let mut said = Vec::new();
    if let Some(output) = process.stdout.take() {
        output.take(ANSWER_MAX).read_to_end(&mut said).await?;
    }
    let status = process.wait().await?;
    group.is_over();
    Ok((status.success(), said))
}
