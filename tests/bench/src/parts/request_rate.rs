//! Requests at a fixed rate to a mock runner that answers at once, in each dialect.

use anyhow::{Context, Result};

use crate::dialect::Dialect;
use crate::row::{Better, Outcome, Row};
use crate::server::Server;
use crate::statistics::Samples;
use crate::subject::Subject;
use crate::{Bench, open_loop, stream};
use installer::say;

/// Requests per second.
const RATE: u32 = 200;
/// Requests per run.
const REQUESTS: u32 = 1000;

/// Milliseconds from the moment when a request is due to the end of its answer.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let daemon = bench.site.daemon_with_mock(&[])?;
    let mut rows = Vec::new();
    for dialect in Dialect::ALL {
        let (mut medians, mut slowest) = (Samples::default(), Samples::default());
        // The first run loads the model and opens connections, and is not measured.
        for run in 0..=runs {
            let times = times(&daemon, subject, dialect)?;
            if run > 0 {
                medians.push(times.median());
                slowest.push(times.percentile(99));
            }
        }
        let path = dialect.path();
        say::line(&format!(
            "{path}: {:.2} and {:.2} ms",
            medians.median(),
            slowest.median()
        ));
        let row = |what: &str, times, limit| {
            Row::new(format!("{path}, {what}, ms"), 2, Better::Less, times).at_most(limit)
        };
        rows.push(row("median", medians, 1.0));
        rows.push(row("99th percentile", slowest, 5.0));
    }
    Ok(Outcome::Measured {
        rows,
        notes: vec![format!(
            "{REQUESTS} requests per run, {RATE} per second; the time includes the mock runner and the client."
        )],
    })
}

fn times(daemon: &Server, subject: &Subject, dialect: Dialect) -> Result<Samples> {
    let url = format!("{}{}", daemon.base(), dialect.path());
    let body = dialect.body(&subject.name, "word", false).to_string();
    let agent = stream::agent();
    open_loop::run(RATE, REQUESTS, || {
        let mut response = agent
            .post(&url)
            .header("content-type", "application/json")
            .send(&body)
            .with_context(|| url.clone())?;
        response.body_mut().read_to_string()?;
        Ok(())
    })
}
