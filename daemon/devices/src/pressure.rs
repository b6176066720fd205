//! How much programs wait for memory: the Linux kernel's pressure stall information (`Documentation/accounting/psi.rst`).

use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroups;
use crate::root::Root;

/// Waiting for memory on this machine and in the control group of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressure {
    /// Of all programs; absent if the kernel does not measure it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Stall>,
    /// Of the programs of the control group; absent without control groups of version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Stall>,
}

/// How long programs waited for memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// Percentage of the last ten seconds in which at least one program waited.
    pub some_avg10: f64,
    /// Percentage of the last ten seconds in which all programs waited.
    pub full_avg10: f64,
    /// Microseconds since the start of the machine in which at least one program waited.
    pub some_total: u64,
    /// Microseconds since the start of the machine in which all programs waited.
    pub full_total: u64,
}

impl Pressure {
    /// Reads it now. It takes well under a millisecond.
    pub fn read(root: &Root, cgroups: &Cgroups) -> Self {
        let read = |path: &str| Stall::parse(&root.text(path)?);
        Self {
            machine: read("/proc/pressure/memory"),
            cgroup: cgroups.pressure_file().and_then(|path| read(&path)),
        }
    }
}

impl Stall {
    /// Parses two lines such as `some avg10=0.00 avg60=0.00 avg300=0.00 total=5225227`.
    fn parse(text: &str) -> Option<Self> {
        let find = |kind: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
            line.split_whitespace()
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let percentage = |kind| {
            let value: f64 = find(kind, "avg10")?.parse().ok()?;
            value.is_finite().then(|| value.clamp(0.0, 100.0))
        };
        let total = |kind| find(kind, "total")?.parse().ok();
        Some(Self {
            some_avg10: percentage("some")?,
            full_avg10: percentage("full")?,
            some_total: total("some")?,
            full_total: total("full")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_and_totals_are_read() {
        let text = "some avg10=1.53 avg60=0.87 avg300=0.21 total=5225227\n\
                    full avg10=0.50 avg60=0.30 avg300=0.10 total=3040309\n";
        let stall = Stall::parse(text).unwrap();
        assert_eq!((stall.some_avg10, stall.full_avg10), (1.53, 0.5));
        assert_eq!((stall.some_total, stall.full_total), (5_225_227, 3_040_309));
        assert_eq!(
            Stall::parse("some avg10=nan total=1\nfull avg10=0 total=1"),
            None
        );
        assert_eq!(Stall::parse(""), None);
    }
}
