//! Main memory and the limits of control groups on it.

use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroups;
use crate::root::Root;

/// Main memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// What the system has.
    pub total: u64,
    /// What programs can still take without swapping, by the estimate of the Linux kernel (`MemAvailable`).
    pub available: u64,
    /// Size of all swap space.
    pub swap: u64,
    /// The smallest limit of a control group of this process, from its own to the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_limit: Option<u64>,
    /// What that group uses, without the page cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_used: Option<u64>,
    /// The least that any group with a limit has left. It may be another group than that of `cgroup_limit`, for groups beside this
    /// one share the limits of the groups above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_available: Option<u64>,
}

impl Memory {
    /// Reads it now; `None` if the system does not tell. It takes well under a millisecond.
    pub fn read(root: &Root, cgroups: &Cgroups) -> Option<Self> {
        let text = root.text("/proc/meminfo")?;
        let field = |name: &str| kib(&text, name);
        let total = field("MemTotal")?;
        // Kernels before 3.14 have no estimate.
        let available = field("MemAvailable").or_else(|| {
            let parts = ["MemFree", "Buffers", "Cached"];
            Some(
                parts
                    .iter()
                    .filter_map(|name| field(name))
                    .fold(0, u64::saturating_add),
            )
        })?;
        let limits = cgroups.memory_limits(root);
        // A limit above all memory limits nothing.
        let limits = || limits.iter().filter(|group| group.limit < total);
        let smallest = limits().min_by_key(|group| group.limit);
        Some(Self {
            total,
            available: available.min(total),
            swap: field("SwapTotal").unwrap_or_default(),
            cgroup_limit: smallest.map(|group| group.limit),
            cgroup_used: smallest.map(|group| group.used),
            cgroup_available: limits()
                .map(|group| group.limit.saturating_sub(group.used))
                .min(),
        })
    }

    /// The most that programs of this group can ever use.
    pub fn usable(&self) -> u64 {
        self.cgroup_limit
            .map_or(self.total, |limit| limit.min(self.total))
    }

    /// What programs of this group can take now.
    pub fn free(&self) -> u64 {
        self.cgroup_available
            .map_or(self.available, |left| left.min(self.available))
    }
}

/// The bytes of a line such as `MemTotal:  24683656 kB`.
pub(crate) fn kib(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        // In the files of NUMA nodes, `Node 0 ` comes first.
        let field = field.rsplit(' ').next()?;
        let value = value.trim().strip_suffix("kB")?.trim();
        (field == name).then(|| value.parse::<u64>().ok()?.checked_mul(1024))?
    })
}
