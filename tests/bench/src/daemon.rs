//! Requests to slmd besides answers: the loaded models, and unloading.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::server::Server;
use super::stream;

/// Timeout of the end of a runner.
const PATIENCE: Duration = Duration::from_secs(30);

/// The models that are loaded, as `/api/ps` lists them.
///
/// # Errors
/// The daemon does not answer.
pub(super) fn loaded(daemon: &Server) -> Result<Vec<Value>> {
    let url = format!("{}/api/ps", daemon.base());
    let response = stream::agent()
        .get(&url)
        .call()
        .with_context(|| format!("no answer from {url}"))?;
    let answer: Value = serde_json::from_reader(response.into_body().into_reader())?;
    let models = answer["models"].as_array();
    Ok(models.context("`/api/ps` lists no models")?.clone())
}

/// Unloads a model, and waits for the end of its runner.
///
/// # Errors
/// The model is not unloaded.
pub(super) fn unload(daemon: &Server, model: &str) -> Result<()> {
    let url = format!("{}/api/generate", daemon.base());
    stream::agent()
        .post(&url)
        .header("content-type", "application/json")
        .send(json!({"model": model, "keep_alive": 0, "stream": false}).to_string())
        .with_context(|| format!("no answer from {url}"))?;
    let deadline = Instant::now() + PATIENCE;
    while !loaded(daemon)?.is_empty() {
        ensure!(
            Instant::now() < deadline,
            "{model} was not unloaded within {PATIENCE:?}"
        );
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
