//! The note of a running daemon, `run/slmd.json`, and a check which program listens on a taken address.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Config;
use crate::fs;

/// Longest time for the answer of the program that listens on an address.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most bytes of that answer.
const MAX_ANSWER: u64 = 16 << 10;

/// Process, addresses and home of a running daemon; the content of `run/slmd.json`.
#[derive(Debug, Clone, Serialize)]
pub struct DaemonNote {
    /// Process id.
    pub pid: u32,
    /// User that the process runs as.
    pub uid: u32,
    /// TCP address with port.
    pub tcp: String,
    /// Further TCP addresses that it listens on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Path of the Unix socket.
    pub socket: String,
    /// Its home.
    pub home: String,
    /// Its version.
    pub version: String,
    /// When it started to serve.
    pub started_at: Timestamp,
    /// The log file in the home, if standard error goes to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl DaemonNote {
    /// The note of this process, which listens on `tcp`.
    pub(crate) fn of(config: &Config, tcp: SocketAddr) -> Self {
        Self {
            pid: std::process::id(),
            uid: rustix::process::geteuid().as_raw(),
            tcp: tcp.to_string(),
            also: Vec::new(),
            socket: config.socket.display().to_string(),
            home: config.home.display().to_string(),
            version: crate::VERSION.to_owned(),
            started_at: Timestamp::now(),
            log: log(config).map(|path| path.display().to_string()),
        }
    }
}

impl std::fmt::Display for DaemonNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", self.tcp)?;
        for address in &self.also {
            write!(f, ", http://{address}")?;
        }
        write!(f, " and {}", self.socket)
    }
}

/// The log file in the home, if standard error goes to it, as in a daemon that `slm` starts.
fn log(config: &Config) -> Option<PathBuf> {
    let path = config.home.join(api::layout::LOG);
    fs::is_standard_error(&path).then_some(path)
}

/// The program that listens on a taken address, for a message.
pub(crate) async fn holder(address: SocketAddr) -> String {
    let answer = timeout(PATIENCE, ask(address)).await.ok().flatten();
    answer
        .and_then(|answer| describe(&answer))
        .unwrap_or_else(|| "another program".to_owned())
}

/// Requests the version, as any client can.
async fn ask(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!(
        "GET {} HTTP/1.0\r\nHost: localhost\r\n\r\n",
        api::routes::VERSION
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER)
        .read_to_end(&mut answer)
        .await
        .ok()?;
    String::from_utf8(answer).ok()
}

/// Describes the daemon by its answer; `None` for another program, whose answer has no home.
fn describe(answer: &str) -> Option<String> {
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let body: api::VersionResponse = serde_json::from_str(body).ok()?;
    // Another program may have written this, and a terminal shows it.
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    let home = clean(body.home.as_deref()?);
    Some(format!("slmd {} of the home {home}", clean(&body.daemon())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_slmd_is_described() {
        let says = |body: &str| describe(&format!("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{body}"));
        assert_eq!(
            says(r#"{"version":"0.33.0","slm":"0.1.0","home":"/home/ann/slm\u001b[2J"}"#)
                .as_deref(),
            Some("slmd 0.1.0 of the home /home/ann/slm[2J")
        );
        assert_eq!(says(r#"{"version":"0.13.5"}"#), None);
        assert_eq!(says("<html>"), None);
        assert_eq!(describe("SSH-2.0-OpenSSH\r\n"), None);
    }
}
