//! Fetching: 2 GiB of random bytes in four layers from a registry on this machine, beside one `curl` of the same bytes and
//! `sha256sum` after it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::machine;
use crate::row::{Better, Outcome, Row};
use crate::server::{Server, end, free_port};
use crate::statistics::Samples;
use crate::subject::Subject;
use crate::{Bench, stream};
use installer::{files, process, say};

/// Layers, and MiB of each.
pub(super) const LAYERS: u64 = 4;
pub(super) const SIZE: u64 = 512;
/// MiB of the layer, and MiB/s of each connection, for a server that limits connections.
const SLOW_SIZE: u64 = 256;
const SLOW_RATE: u64 = 10;
/// Fraction of the bytes after which the daemon is killed, one for each run.
const KILLED_AT: [f64; 3] = [0.35, 0.6, 0.8];

const MIB: f64 = 1024.0 * 1024.0;

/// A registry with one model whose layers have `size` MiB each.
pub(super) struct Registry {
    server: Server,
}

impl Registry {
    pub(super) fn start(
        bench: &Bench,
        weights: &Path,
        layers: u64,
        size: u64,
        rate: u64,
    ) -> Result<Self> {
        let port = free_port()?;
        let mut command = process::command(bench.site.executable("origin"));
        command
            .args(["--port", &port.to_string(), "--layers", &layers.to_string()])
            .args(["--size", &size.to_string(), "--rate", &rate.to_string()])
            .arg(weights);
        // The manifest is served once all its blobs are.
        let path = "/v2/library/notes/manifests/latest";
        let server = Server::start(&mut command, port, path)?;
        Ok(Self { server })
    }

    /// The addresses of the large layers.
    pub(super) fn layers(&self) -> Result<Vec<String>> {
        let base = self.server.base();
        let text = get(&format!("{base}/v2/library/notes/manifests/latest"))?;
        let manifest: Value = serde_json::from_str(&text)?;
        let layers = manifest["layers"].as_array().context("it has layers")?;
        let large = layers
            .iter()
            .filter(|layer| layer["mediaType"] == "application/vnd.ollama.image.tensor");
        let address = |layer: &Value| {
            let digest = layer["digest"].as_str()?;
            Some(format!("{base}/v2/library/notes/blobs/{digest}"))
        };
        large
            .map(|layer| address(layer).context("it has a digest"))
            .collect()
    }

    /// Bytes sent so far.
    fn sent(&self) -> Result<f64> {
        let text = get(&format!("{}/-/sent", self.server.base()))?;
        Ok(text.trim().parse()?)
    }
}

fn get(url: &str) -> Result<String> {
    let response = stream::agent()
        .get(url)
        .call()
        .with_context(|| url.to_owned())?;
    Ok(response.into_body().read_to_string()?)
}

/// Compares the pull with simple programs for the same task.
pub(super) fn measure(bench: &Bench, _: &Subject, runs: usize) -> Result<Outcome> {
    let folder = tempfile::tempdir_in(bench.site.home())?;
    // Tiny weights, because the other programs fetch only the layers.
    let weights = folder.path().join("tiny.gguf");
    process::run(
        process::command(bench.site.executable("gguf-writer"))
            .arg("tiny")
            .arg(&weights),
    )?;
    let mut rows = Vec::new();
    rows.extend(whole(bench, &weights, runs, folder.path())?);
    rows.push(slow(bench, &weights, runs, folder.path())?);
    rows.push(killed(bench, &weights, runs)?);
    Ok(Outcome::Measured {
        rows,
        notes: vec![format!(
            "The registry runs on the same two cores: {LAYERS} layers of {SIZE} MiB; with a bound of {SLOW_RATE} MiB/s for each connection, one layer of {SLOW_SIZE} MiB."
        )],
    })
}

/// Time, processor time and memory of a whole pull.
fn whole(bench: &Bench, weights: &Path, runs: usize, folder: &Path) -> Result<Vec<Row>> {
    let registry = Registry::start(bench, weights, LAYERS, SIZE, 0)?;
    let layers = registry.layers()?;
    let gibibytes = (LAYERS * SIZE) as f64 / 1024.0;
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    let (mut processor, mut hash, mut memory) =
        (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..runs {
        let fetched = curl(folder, &layers)?;
        let began = Instant::now();
        process::quiet(process::command("sha256sum").args(&fetched.1))?;
        let summed = began.elapsed();
        let began = Instant::now();
        let files = &fetched.1;
        process::quiet(
            process::command(bench.site.executable("origin"))
                .arg("--hash")
                .args(files),
        )?;
        hash.push(began.elapsed().as_secs_f64() / gibibytes);
        for file in files {
            files::remove(file)?;
        }
        theirs.push((fetched.0 + summed).as_secs_f64());

        let daemon = daemon(bench, &registry)?;
        let idle = machine::memory(daemon.id())?.resident_mib();
        let before = machine::processor_seconds(daemon.id())?;
        let began = Instant::now();
        process::run(&mut pull(bench))?;
        ours.push(began.elapsed().as_secs_f64());
        processor.push((machine::processor_seconds(daemon.id())? - before) / gibibytes);
        memory.push(machine::peak_mib(daemon.id())? - idle);
        forget(bench)?;
        say::line(&format!(
            "pull: {:.2} s, curl and sha256sum {:.2} s",
            ours.median(),
            theirs.median()
        ));
    }
    Ok(vec![
        Row::new("2 GiB in four layers, s", 2, Better::Less, ours).beside(
            "curl, then sha256sum",
            theirs,
            Some(0.7),
        ),
        Row::new("processor time for a GiB, s", 2, Better::Less, processor).beside(
            "SHA-256 alone",
            hash,
            Some(1.5),
        ),
        Row::new(
            "peak memory of the daemon over idle, MiB",
            0,
            Better::Less,
            memory,
        ),
    ])
}

/// A server with a limited rate for each connection.
fn slow(bench: &Bench, weights: &Path, runs: usize, folder: &Path) -> Result<Row> {
    let registry = Registry::start(bench, weights, 1, SLOW_SIZE, SLOW_RATE)?;
    let layers = registry.layers()?;
    let size = SLOW_SIZE as f64;
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for _ in 0..runs {
        let (took, files) = curl(folder, &layers)?;
        theirs.push(size / took.as_secs_f64());
        for file in files {
            files::remove(&file)?;
        }
        let _daemon = daemon(bench, &registry)?;
        let began = Instant::now();
        process::run(&mut pull(bench))?;
        ours.push(size / began.elapsed().as_secs_f64());
        forget(bench)?;
        say::line(&format!("slow server: {:.0} MiB/s", ours.median()));
    }
    let what = format!("{SLOW_RATE} MiB/s for each connection, MiB/s");
    Ok(Row::new(what, 0, Better::More, ours).beside("curl", theirs, Some(6.0)))
}

/// The daemon is killed during the pull, and the pull is started again.
fn killed(bench: &Bench, weights: &Path, runs: usize) -> Result<Row> {
    let registry = Registry::start(bench, weights, LAYERS, SIZE, 0)?;
    let whole = (LAYERS * SIZE) as f64 * MIB;
    let (mut ours, mut needed) = (Samples::default(), Samples::default());
    for run in 0..runs {
        let begun = registry.sent()?;
        let daemon = daemon(bench, &registry)?;
        let mut pulling = Pulling(pull(bench).spawn().context("slm starts")?);
        let at = KILLED_AT[run % KILLED_AT.len()];
        while registry.sent()? - begun < whole * at {
            ensure!(
                pulling.0.try_wait()?.is_none(),
                "the pull was over before the daemon was killed"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        daemon.kill();
        drop(pulling);
        let _daemon = self::daemon(bench, &registry)?;
        process::run(&mut pull(bench))?;
        ours.push((registry.sent()? - begun) / MIB);
        needed.push(whole / MIB);
        forget(bench)?;
    }
    Ok(Row::new(
        "sent in all when the daemon is killed once, MiB",
        0,
        Better::Less,
        ours,
    )
    .beside("the size", needed, Some(1.05)))
}

/// A client process that is reaped on drop.
struct Pulling(Child);

impl Drop for Pulling {
    fn drop(&mut self) {
        end(self.0.id());
        let _ = self.0.wait();
    }
}

pub(super) fn daemon(bench: &Bench, registry: &Registry) -> Result<Server> {
    bench
        .site
        .daemon(&[("SLM_LIBRARY", registry.server.base())])
}

pub(super) fn pull(bench: &Bench) -> Command {
    let mut command = bench.site.slm();
    command.args(["pull", "--quiet", "ollama://notes"]);
    command
}

fn forget(bench: &Bench) -> Result<()> {
    process::run(bench.site.slm().args(["rm", "--quiet", "notes"]))
}

/// Fetches addresses one after the other; returns the time and the files.
fn curl(folder: &Path, addresses: &[String]) -> Result<(Duration, Vec<PathBuf>)> {
    let mut command = process::command("curl");
    command.args(["--silent", "--fail"]);
    let mut files = Vec::new();
    for (number, address) in addresses.iter().enumerate() {
        let file = folder.join(number.to_string());
        command.arg("-o").arg(&file).arg(address);
        files.push(file);
    }
    let began = Instant::now();
    process::run(&mut command)?;
    Ok((began.elapsed(), files))
}
