//! Where a daemon is to be found: what it writes to `run/slmd.json`, and who else listens at an address.

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

/// Longest time that another program may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest answer to that question, in bytes.
const MAX_ANSWER: u64 = 16 << 10;

/// Where the daemon is to be found; also the content of `run/slmd.json`.
#[derive(Debug, Clone, Serialize)]
pub struct DaemonNote {
    /// Process id.
    pub pid: u32,
    /// User that the process runs as.
    pub uid: u32,
    /// Address and port.
    pub tcp: String,
    /// Path of the Unix socket.
    pub socket: String,
    /// The folder that holds everything.
    pub home: String,
    /// Version.
    pub version: String,
    /// When it began to serve.
    pub started_at: Timestamp,
    /// The file that standard error goes to, where that is the one in the home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl DaemonNote {
    /// The place of this process, which listens on `tcp`.
    pub(crate) fn of(config: &Config, tcp: SocketAddr) -> Self {
        Self {
            pid: std::process::id(),
            uid: rustix::process::geteuid().as_raw(),
            tcp: tcp.to_string(),
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
        write!(f, "http://{} and {}", self.tcp, self.socket)
    }
}

/// The log file of the home, if standard error goes there: `slm` starts a daemon so, a terminal or a service manager does not.
fn log(config: &Config) -> Option<PathBuf> {
    let path = config.home.join(api::layout::LOG);
    fs::is_standard_error(&path).then_some(path)
}

/// Who listens at a taken address, in words for a message.
pub(crate) async fn holder(address: SocketAddr) -> String {
    let answer = timeout(PATIENCE, ask(address)).await.ok().flatten();
    answer
        .and_then(|answer| describe(&answer))
        .unwrap_or_else(|| "another program".to_owned())
}

/// Asks for the version, as any client does.
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

/// Reads the answer of a daemon of ours; programs of the same dialect do not say that they have a home.
fn describe(answer: &str) -> Option<String> {
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let body: api::VersionResponse = serde_json::from_str(body).ok()?;
    // Somebody else wrote this, and a terminal shows it.
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    let home = clean(&body.home?);
    Some(format!("slmd {} of the home {home}", clean(&body.version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_daemon_of_ours_is_called_one() {
        let says = |body: &str| describe(&format!("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{body}"));
        assert_eq!(
            says(r#"{"version":"0.1.0","home":"/home/ann/slm\u001b[2J"}"#).as_deref(),
            Some("slmd 0.1.0 of the home /home/ann/slm[2J")
        );
        assert_eq!(says(r#"{"version":"0.13.5"}"#), None);
        assert_eq!(says("<html>"), None);
        assert_eq!(describe("SSH-2.0-OpenSSH\r\n"), None);
    }
}
