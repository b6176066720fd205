//! Memory of the daemon for each of many connections that wait for their next request.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Bench;
use crate::machine;
use crate::row::{Better, Outcome, Row};
use crate::server::Server;
use crate::statistics::Samples;
use crate::subject::Subject;
use installer::say;

const CONNECTIONS: usize = 10_000;
/// Open files of the client and of the daemon besides the connections.
const OTHER_FILES: u64 = 300;
/// The most that one connection may take, in KiB.
const LIMIT: f64 = 10.0;
const REQUEST: &[u8] = b"GET /api/version HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// KiB of resident memory that the daemon gains with each connection that has had one request.
pub(super) fn measure(bench: &Bench, _: &Subject, runs: usize) -> Result<Outcome> {
    let wanted = CONNECTIONS as u64 + OTHER_FILES;
    if !allow_files(wanted) {
        return Ok(Outcome::NotThere(format!(
            "{CONNECTIONS} connections need a limit of {wanted} open files (`ulimit -Hn`)"
        )));
    }
    let most = (CONNECTIONS + 10).to_string();
    let mut each = Samples::default();
    for _ in 0..runs {
        // A new daemon each time, because memory that was used once stays with a process.
        let daemon = bench
            .site
            .daemon_with_mock(&[("SLM_MAX_CONNECTIONS", most.as_str())])?;
        each.push(growth(&daemon)?);
        say::line(&format!("connection: {:.2} KiB", each.median()));
    }
    let what = "each idle connection, KiB";
    Ok(Outcome::Measured {
        rows: vec![Row::new(what, 2, Better::Less, each).at_most(LIMIT)],
        notes: vec![format!(
            "`VmRSS` of slmd with {CONNECTIONS} connections that have had one request each, less that before the first, divided by their number."
        )],
    })
}

/// Raises the limit of open files, which the daemon inherits; false if the system does not allow so many.
fn allow_files(wanted: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.current.map(|current| current.max(wanted)),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).is_ok()
}

fn growth(daemon: &Server) -> Result<f64> {
    let address = daemon.base().trim_start_matches("http://");
    // Not measured: what the daemon allocates once.
    drop(connection(address)?);
    let before = machine::memory(daemon.id())?;
    let connections: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| connection(address))
        .collect::<Result<_>>()?;
    let after = machine::memory(daemon.id())?;
    drop(connections);
    Ok((after.resident_kib() - before.resident_kib()) / CONNECTIONS as f64)
}

/// A connection after its first request.
fn connection(address: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).context("the daemon takes no connection")?;
    stream.write_all(REQUEST)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    // The body is one JSON object.
    while !answer.ends_with(b"}") {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the daemon closed the connection");
        answer.extend_from_slice(&buffer[..count]);
    }
    Ok(stream)
}
