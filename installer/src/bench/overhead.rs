//! What a request costs when the model costs nothing: the mock runner answers with one word at once.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;

use super::site::Site;
use super::statistics::Samples;
use crate::say;

/// Requests per run; the run counts with their median.
const REQUESTS: usize = 200;

/// Milliseconds from sending a request to the end of its answer, through daemon and mock runner, on one kept connection.
///
/// # Errors
/// The daemon does not answer.
pub(super) fn measure(site: &Site, runs: usize) -> Result<Samples> {
    let daemon = site.daemon_with_mock()?;
    let url = format!("{}/api/generate", daemon.base());
    let body = json!({"model": site.model(), "prompt": "word", "raw": true}).to_string();
    let agent = ureq::Agent::new_with_defaults();
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
        // The first run loads the model and is part of no figure.
        if run > 0 {
            say::line(&format!("request: {:.3} ms", requests.median()));
            medians.push(requests.median());
        }
    }
    Ok(medians)
}
