//! The machine and the code of a measurement, because numbers of different machines are not comparable.

use std::path::Path;

use anyhow::{Context, Result};

use installer::workspace::Workspace;
use installer::{files, process};

/// The machine and the code, in words.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// Short commit id, with a note of local changes.
    pub(crate) commit: String,
    /// Day of the measurement, UTC.
    pub(crate) date: String,
    /// Processor name from /proc/cpuinfo, and its threads.
    pub(crate) processor: String,
    /// Memory in GiB.
    pub(crate) memory: String,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Load average of the last minute at the start; near 0 on an idle machine.
    pub(crate) load: String,
}

impl Machine {
    /// Describes this machine.
    ///
    /// # Errors
    /// The kernel or git does not answer.
    pub(crate) fn look(workspace: &Workspace) -> Result<Self> {
        let git = |arguments: &[&str]| {
            process::output(
                process::command("git")
                    .current_dir(workspace.root())
                    .args(arguments),
            )
        };
        let mut commit = git(&["rev-parse", "--short", "HEAD"])?.trim().to_owned();
        if !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
            commit.push_str(" with local changes");
        }
        let threads = std::thread::available_parallelism().context("cannot count processors")?;
        Ok(Self {
            commit,
            date: jiff::Zoned::now()
                .with_time_zone(jiff::tz::TimeZone::UTC)
                .date()
                .to_string(),
            processor: format!(
                "{}, {threads} threads",
                field(&read("/proc/cpuinfo")?, "model name").unwrap_or("unknown processor")
            ),
            memory: gibibytes(field(&read("/proc/meminfo")?, "MemTotal").unwrap_or_default()),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load: load()?,
        })
    }

    /// The same machine and code, with the load of this moment.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub(crate) fn now(&self) -> Result<Self> {
        Ok(Self {
            load: load()?,
            ..self.clone()
        })
    }
}

/// Memory of a process as Linux counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    resident_kib: u64,
    anonymous_kib: u64,
}

impl Memory {
    /// Resident pages, mapped files included; in MiB.
    pub(crate) fn resident_mib(self) -> f64 {
        self.resident_kib as f64 / 1024.0
    }

    /// Resident pages, mapped files included; in KiB.
    pub(crate) fn resident_kib(self) -> f64 {
        self.resident_kib as f64
    }

    /// Resident anonymous pages; in MiB.
    pub(crate) fn anonymous_mib(self) -> f64 {
        self.anonymous_kib as f64 / 1024.0
    }
}

/// Memory of a process.
///
/// # Errors
/// There is no such process.
pub(crate) fn memory(process: u32) -> Result<Memory> {
    let status = read(&format!("/proc/{process}/status"))?;
    let size = |name| {
        let value = field(&status, name)
            .with_context(|| format!("the kernel gives no {name} of process {process}"))?;
        let kib = value.trim_end_matches(" kB").parse();
        kib.with_context(|| format!("`{value}` is no size"))
    };
    Ok(Memory {
        resident_kib: size("VmRSS")?,
        anonymous_kib: size("RssAnon")?,
    })
}

/// The most memory that a process had so far, in MiB.
///
/// # Errors
/// There is no such process.
pub(crate) fn peak_mib(process: u32) -> Result<f64> {
    let status = read(&format!("/proc/{process}/status"))?;
    let value = field(&status, "VmHWM").context("the kernel gives no VmHWM")?;
    let kib: f64 = value.trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// Seconds of processor time that a process took so far, in all its threads.
///
/// # Errors
/// There is no such process.
pub(crate) fn processor_seconds(process: u32) -> Result<f64> {
    let stat = read(&format!("/proc/{process}/stat"))?;
    // The name may contain blanks; after it, user and system time are the 12th and 13th word (proc_pid_stat(5)).
    let (_, words) = stat.rsplit_once(')').context("the kernel gives no name")?;
    let words: Vec<&str> = words.split_whitespace().collect();
    let ticks = |index: usize| -> Result<f64> {
        let word = words.get(index).context("the kernel gives no times")?;
        Ok(word.parse()?)
    };
    let ticks = ticks(11)? + ticks(12)?;
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

fn load() -> Result<String> {
    let load = read("/proc/loadavg")?;
    Ok(load.split(' ').next().unwrap_or_default().to_owned())
}

fn read(path: &str) -> Result<String> {
    files::read(Path::new(path))
}

/// The value of the first line `name : value`.
fn field<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

fn gibibytes(kib: &str) -> String {
    let kib: f64 = kib.trim_end_matches(" kB").parse().unwrap_or_default();
    format!("{:.0} GiB", kib / (1024.0 * 1024.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_stands_around_the_colon() {
        let text = "processor\t: 0\nmodel name\t: Quick One\nVmRSS:\t   1234 kB\n";
        assert_eq!(field(text, "model name"), Some("Quick One"));
        assert_eq!(field(text, "VmRSS"), Some("1234 kB"));
        assert_eq!(field(text, "name"), None);
    }

    #[test]
    fn memory_is_given_in_whole_gibibytes() {
        assert_eq!(gibibytes("24671072 kB"), "24 GiB");
    }

    #[test]
    fn our_own_memory_can_be_read() -> Result<()> {
        let memory = memory(std::process::id())?;
        assert!(memory.anonymous_mib() > 0.0);
        assert!(memory.resident_mib() > memory.anonymous_mib());
        Ok(())
    }
}
