//! The memory of the host, as the scheduler asks for it.

use crate::fs;
use crate::scheduler::{HostMemory, Machine};

/// Reads the memory of this machine.
#[derive(Debug)]
pub(crate) struct Host;

impl Machine for Host {
    fn memory(&self) -> Option<HostMemory> {
        let text = fs::read_text("/proc/meminfo".as_ref(), 64 * 1024).ok()??;
        let kib = |name: &str| -> Option<u64> {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            rest.split_whitespace().next()?.parse().ok()
        };
        Some(HostMemory {
            total: kib("MemTotal:")? * 1024,
            available: kib("MemAvailable:")? * 1024,
            stalled: 0.0,
        })
    }
}
