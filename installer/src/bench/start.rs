//! From the start of `slm run` to the first text on its standard output, and the daemon that then sits idle.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::server;
use super::site::Site;
use super::statistics::Samples;
use crate::{files, machine, process, say};

const QUESTION: &str = "Why is the sky blue?";

/// What [`measure`] found.
#[derive(Debug)]
pub(super) struct Start {
    /// Seconds to the first text with no daemon running and, where the kernel let us, nothing in the page cache.
    pub(super) cold: Samples,
    /// Whether the page cache was emptied before each cold start.
    pub(super) cache_emptied: bool,
    /// Seconds to the first text with the model loaded.
    pub(super) warm: Samples,
    /// Resident MiB of a daemon that has just started and loaded nothing.
    pub(super) idle_mib: Samples,
}

/// Measures all of it.
///
/// # Errors
/// A program could not be run, or said nothing.
pub(super) fn measure(site: &Site, runs: usize) -> Result<Start> {
    let mut start = Start {
        cold: Samples::default(),
        cache_emptied: true,
        warm: Samples::default(),
        idle_mib: Samples::default(),
    };
    for _ in 0..runs {
        start.cache_emptied &= empty_page_cache();
        let first = first_text(site)?;
        say::line(&format!("cold: {:.3} s", first.as_secs_f64()));
        start.cold.push(first.as_secs_f64());
        stop_daemon(site)?;
    }
    for _ in 0..runs {
        let daemon = site.daemon()?;
        let mib = machine::resident_kib(daemon.id())? as f64 / 1024.0;
        say::line(&format!("idle: {mib:.1} MiB"));
        start.idle_mib.push(mib);
    }
    let _daemon = site.daemon()?;
    first_text(site)?;
    for _ in 0..runs {
        let first = first_text(site)?;
        say::line(&format!("warm: {:.3} s", first.as_secs_f64()));
        start.warm.push(first.as_secs_f64());
    }
    Ok(start)
}

/// Runs the main job; the answer is read to its end, because a client that leaves stops it.
fn first_text(site: &Site) -> Result<Duration> {
    let mut command = site.slm();
    command
        .args(["run", site.model(), QUESTION])
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

/// Ends the daemon that `slm run` started; its process id is in the lock file of the store.
fn stop_daemon(site: &Site) -> Result<()> {
    let lock = site.home().join("run/lock");
    let text = files::read(&lock)?;
    let process = text
        .trim()
        .parse()
        .with_context(|| format!("{} holds no process id", lock.display()))?;
    server::end(process);
    let deadline = Instant::now() + Duration::from_secs(30);
    while machine::resident_kib(process).is_ok() {
        ensure!(Instant::now() < deadline, "the daemon did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Asks the kernel to forget what it read; only root may.
fn empty_page_cache() -> bool {
    rustix::fs::sync();
    files::write_in_place(std::path::Path::new("/proc/sys/vm/drop_caches"), "3").is_ok()
}
