//! The overhead of a request: the mock runner answers with one word at once.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;

use crate::row::{Better, Outcome, Row};
use crate::statistics::Samples;
use crate::subject::Subject;
use crate::{Bench, stream};
use installer::say;

/// Requests per run; the run counts with their median.
const REQUESTS: usize = 200;

/// Milliseconds from sending a request to the end of its answer, through daemon and mock runner, on one persistent connection.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let daemon = bench.site.daemon_with_mock(&[])?;
    let url = format!("{}/api/generate", daemon.base());
    let body = json!({"model": subject.name, "prompt": "word", "raw": true}).to_string();
    let agent = stream::agent();
    let mut medians = Samples::default();
    for run in 0..=runs {
        let mut requests = Samples::default();
        for _ in 0..REQUESTS {
            let began = Instant::now();
            let mut response = agent
                .post(&url)
                .header("content-type", "application/json")
                .send(&body)
                .with_context(|| url.clone())?;
            response.body_mut().read_to_string()?;
            requests.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        // The first run loads the model and is not measured.
        if run > 0 {
            say::line(&format!("request: {:.3} ms", requests.median()));
            medians.push(requests.median());
        }
    }
    Ok(Outcome::Measured {
        rows: vec![Row::new(
            "one request through daemon and mock runner, ms",
            2,
            Better::Less,
            medians,
        )],
        notes: Vec::new(),
    })
}
