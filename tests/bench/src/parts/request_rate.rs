//! Requests at a fixed rate to a mock runner that answers at once, in each dialect.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::dialect::Dialect;
use crate::duel::in_turn;
use crate::row::{Better, Outcome, Row};
use crate::server::Server;
use crate::statistics::Samples;
use crate::subject::Subject;
use crate::{Bench, open_loop, stream};
use installer::{process, say};

/// Requests per second.
const RATE: u32 = 200;
/// Requests per run.
const REQUESTS: u32 = 1000;

/// Milliseconds from the moment when a request is due to the end of its answer, less those of the runner protocol alone.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let daemon = bench.site.daemon_with_mock(&[])?;
    let (mut rows, mut alone) = (Vec::new(), Samples::default());
    for dialect in Dialect::ALL {
        let (mut medians, mut slowest) = (Samples::default(), Samples::default());
        // This loads the model and opens connections, and is not measured.
        times(&daemon, subject, dialect)?;
        for run in 0..runs {
            let (whole, bare) = in_turn(
                run,
                || times(&daemon, subject, dialect),
                || without_daemon(bench),
            )?;
            medians.push((whole.median() - bare.median()).max(0.0));
            slowest.push((whole.percentile(99) - bare.percentile(99)).max(0.0));
            alone.push(bare.median());
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
            "{REQUESTS} requests per run, {RATE} per second; the runner protocol alone takes {:.2} ms in the median, which is subtracted.",
            alone.median()
        )],
    })
}

/// The times of a client that speaks the runner protocol itself.
fn without_daemon(bench: &Bench) -> Result<Samples> {
    let report = process::output(
        process::command(bench.site.executable("slm-bare-client"))
            .arg("rate")
            .arg(bench.site.executable("slm-mock-runner"))
            .args([RATE.to_string(), REQUESTS.to_string()]),
    )?;
    let report: Value = serde_json::from_str(&report)?;
    let times = report["milliseconds"].as_array();
    let times = times.context("the bare client reports no times")?;
    let mut samples = Samples::default();
    samples.extend(times.iter().filter_map(Value::as_f64));
    Ok(samples)
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
