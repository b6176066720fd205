//! From the start of `slm run` to the first text on its standard output, and the memory of an idle daemon.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::machine;
use crate::row::{Better, Outcome, Row};
use crate::server;
use crate::site::Site;
use crate::statistics::Samples;
use crate::subject::Subject;
use installer::{files, process, say};

const QUESTION: &str = "Why is the sky blue?";

/// Measures starts without a daemon, starts with a loaded model, and a daemon without a loaded model.
pub(super) fn measure(bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
    let (site, model) = (&bench.site, subject.name.as_str());
    let (mut cold, mut warm, mut idle) =
        (Samples::default(), Samples::default(), Samples::default());
    let mut emptied = true;
    for _ in 0..runs {
        emptied &= empty_page_cache();
        note(&mut cold, first_text(site, model)?);
        stop_daemon(site)?;
    }
    for _ in 0..runs {
        let daemon = site.daemon(&[])?;
        let mib = machine::memory(daemon.id())?.resident_mib();
        say::line(&format!("idle: {mib:.1} MiB"));
        idle.push(mib);
    }
    let _daemon = site.daemon(&[])?;
    first_text(site, model)?;
    for _ in 0..runs {
        note(&mut warm, first_text(site, model)?);
    }
    let cache = if emptied { "emptied" } else { "warm" };
    Ok(Outcome::Measured {
        rows: vec![
            Row::new(
                format!("`slm run` to the first text, no daemon, page cache {cache}, s"),
                2,
                Better::Less,
                cold,
            ),
            Row::new(
                "`slm run` to the first text, model loaded, s",
                2,
                Better::Less,
                warm,
            ),
            Row::new("idle daemon, resident, MiB", 1, Better::Less, idle),
        ],
        notes: Vec::new(),
    })
}

fn note(samples: &mut Samples, first: Duration) {
    say::line(&format!("first text: {:.3} s", first.as_secs_f64()));
    samples.push(first.as_secs_f64());
}

/// Runs the main job; the answer is read to its end, because disconnecting would cancel it.
fn first_text(site: &Site, model: &str) -> Result<Duration> {
    let mut command = site.slm();
    command
        .args(["run", model, QUESTION, "--param", "num_predict=16"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let name = process::shown(&command);
    let began = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let mut output = child
        .stdout
        .take()
        .context("the child has no standard output")?;
    let mut byte = [0];
    output
        .read_exact(&mut byte)
        .with_context(|| format!("{name} said nothing"))?;
    let first = began.elapsed();
    output.read_to_end(&mut Vec::new())?;
    let status = child.wait()?;
    ensure!(status.success(), "{name} failed: {status}");
    Ok(first)
}

/// Stops the daemon that `slm run` started; its process id is in the lock file of the store.
fn stop_daemon(site: &Site) -> Result<()> {
    let lock = site.home().join("run/lock");
    let text = files::read(&lock)?;
    let process = text
        .trim()
        .parse()
        .with_context(|| format!("{} holds no process id", lock.display()))?;
    server::end(process);
    let deadline = Instant::now() + Duration::from_secs(30);
    while machine::memory(process).is_ok() {
        ensure!(Instant::now() < deadline, "the daemon did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Drops the page cache; only root may.
fn empty_page_cache() -> bool {
    rustix::fs::sync();
    files::write_in_place(Path::new("/proc/sys/vm/drop_caches"), "3").is_ok()
}
