//! Memory of the daemon for each of many open streams, in each dialect.

use std::thread;

use anyhow::{Context, Result, anyhow};
use ureq::Body;
use ureq::http::Response;

use crate::dialect::Dialect;
use crate::machine;
use crate::row::{Better, Outcome, Row};
use crate::server::Server;
use crate::statistics::Samples;
use crate::subject::Subject;
use crate::{Bench, stream};
use installer::{process, say};

const STREAMS: usize = 1000;
/// Models that share the streams, because a model has at most 256 slots.
const MODELS: usize = 4;
/// Threads of the client that open streams.
const THREADS: usize = 128;
/// The most that one stream may take, in KiB.
const LIMIT: f64 = 100.0;
/// A word per second, so that streams stay open without load.
const PROMPT: &str = "[[mock: count 100000; delay-ms 1000]]";

/// KiB of resident memory that the daemon gains with each stream.
pub(super) fn measure(bench: &Bench, _: &Subject, runs: usize) -> Result<Outcome> {
    let models = models(bench)?;
    let slots = STREAMS.div_ceil(MODELS).to_string();
    let number = MODELS.to_string();
    let settings = [
        ("SLM_PARALLEL", slots.as_str()),
        ("SLM_MAX_LOADED_MODELS", number.as_str()),
    ];
    let mut rows = Vec::new();
    for dialect in Dialect::ALL {
        let mut each = Samples::default();
        for _ in 0..runs {
            // A new daemon each time, because memory that was used once stays with a process.
            let daemon = bench.site.daemon_with_mock(&settings)?;
            each.push(growth(&daemon, &models, dialect)?);
        }
        say::line(&format!("{}: {:.1} KiB", dialect.path(), each.median()));
        let what = format!("{}, each stream, KiB", dialect.path());
        rows.push(Row::new(what, 1, Better::Less, each).at_most(LIMIT));
    }
    Ok(Outcome::Measured {
        rows,
        notes: vec![format!(
            "`VmRSS` of slmd with {STREAMS} streams of {MODELS} models, less that before the first, divided by their number."
        )],
    })
}

/// Models with different weights.
fn models(bench: &Bench) -> Result<Vec<Subject>> {
    let folder = tempfile::tempdir()?;
    (1..=MODELS)
        .map(|seed| {
            let name = format!("tiny{seed}");
            let weights = folder.path().join(format!("{name}.gguf"));
            let mut writer = process::command(bench.site.executable("gguf-writer"));
            process::run(writer.arg("tiny").arg(&weights).arg(seed.to_string()))?;
            bench.site.create(&name, &weights)
        })
        .collect()
}

fn growth(daemon: &Server, models: &[Subject], dialect: Dialect) -> Result<f64> {
    for model in models {
        open(daemon, model, dialect, "word")?
            .body_mut()
            .read_to_string()?;
    }
    let before = machine::memory(daemon.id())?;
    let streams = open_all(daemon, models, dialect)?;
    let after = machine::memory(daemon.id())?;
    drop(streams);
    Ok((after.resident_kib() - before.resident_kib()) / STREAMS as f64)
}

/// Opens all streams, a part of them at a time, because each takes a second until its first word.
fn open_all(daemon: &Server, models: &[Subject], dialect: Dialect) -> Result<Vec<Response<Body>>> {
    let opened = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let open = move |number| open(daemon, &models[number % MODELS], dialect, PROMPT);
                scope.spawn(move || (thread..STREAMS).step_by(THREADS).map(open).collect())
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?)
            .collect::<Result<Vec<Vec<_>>>>()
    });
    Ok(opened?.into_iter().flatten().collect())
}

/// Sends a request, and returns when its answer begins.
fn open(
    daemon: &Server,
    model: &Subject,
    dialect: Dialect,
    prompt: &str,
) -> Result<Response<Body>> {
    let url = format!("{}{}", daemon.base(), dialect.path());
    stream::agent()
        .post(&url)
        .header("content-type", "application/json")
        .send(dialect.body(&model.name, prompt, true).to_string())
        .with_context(|| format!("no answer from {url}"))
}
