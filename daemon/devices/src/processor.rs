//! The processor: its cores and their kinds, instructions, caches and NUMA nodes, and what this process may use of it.

mod caches;
mod cores;
mod model;

use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroups;
use crate::list::numbers;
use crate::memory::kib;
use crate::root::Root;

pub use caches::Cache;
pub use cores::CoreKind;

/// All processors of the machine. The counts leave out processors that are offline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Processor {
    /// Its name, such as `AMD Ryzen 7 7840U`; empty if unknown.
    pub model: String,
    /// Its architecture, such as `x86_64`; empty if unknown.
    pub architecture: String,
    /// Number of processor packages.
    pub packages: u32,
    /// Number of cores of all packages.
    pub cores: u32,
    /// Number of hardware threads, which the system calls CPUs.
    pub threads: u32,
    /// The kinds of cores, the fastest first. Most processors have one.
    pub kinds: Vec<CoreKind>,
    /// The instruction sets that matter for inference, by the names of the Linux kernel, such as `avx512_vnni`.
    pub instructions: Vec<String>,
    /// The caches, the smallest level first.
    pub caches: Vec<Cache>,
    /// The NUMA nodes with processors or memory.
    pub nodes: Vec<NumaNode>,
    /// Number of hardware threads that this process may run on (`sched_setaffinity`, cpusets).
    pub allowed: u32,
    /// The number of processors that control groups let this process use all the time; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<f64>,
}

/// A part of the machine whose processors reach its memory fastest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NumaNode {
    /// Its number.
    pub id: u32,
    /// Number of its hardware threads; zero for memory without processors.
    pub threads: u32,
    /// Its memory in bytes.
    pub memory: u64,
}

impl Processor {
    pub(crate) fn read(root: &Root, cgroups: &Cgroups) -> Self {
        let text = root.text("/proc/cpuinfo").unwrap_or_default();
        let online = online(root, &text);
        let topology = cores::read(root, &online);
        Self {
            model: model::name(root, &text),
            architecture: model::architecture(root),
            packages: topology.packages,
            cores: topology.cores(),
            threads: count(online.len()),
            kinds: topology.kinds,
            instructions: model::instructions(&text),
            caches: caches::read(root, &online),
            nodes: nodes(root),
            allowed: allowed(root).unwrap_or(count(online.len())),
            quota: cgroups.cpu_quota(root),
        }
    }

    /// Whether it has an instruction set, by the name of the Linux kernel.
    pub fn has(&self, instructions: &str) -> bool {
        self.instructions.iter().any(|name| name == instructions)
    }

    /// Number of the fastest cores; all cores where they are of one kind.
    pub fn performance_cores(&self) -> u32 {
        self.kinds.first().map_or(self.cores, |kind| kind.cores)
    }

    /// The number of hardware threads that this process can keep busy: allowed ones, up to the quota.
    pub fn usable_threads(&self) -> u32 {
        let quota = self.quota.map_or(u32::MAX, |quota| quota.ceil() as u32);
        self.allowed.min(quota).max(1)
    }
}

/// A count of things that a machine has at most some thousands of.
pub(crate) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The numbers of the processors that are online.
fn online(root: &Root, cpuinfo: &str) -> Vec<u32> {
    let listed = root.value("/sys/devices/system/cpu/online");
    let online = listed.map(|list| numbers(&list)).unwrap_or_default();
    if !online.is_empty() {
        return online;
    }
    // Without sysfs, as in some sandboxes.
    let listed = cpuinfo.lines().filter_map(|line| {
        let (name, number) = line.split_once(':')?;
        (name.trim() == "processor").then(|| number.trim().parse().ok())?
    });
    listed.collect()
}

fn allowed(root: &Root) -> Option<u32> {
    let status = root.text("/proc/self/status")?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(count(numbers(list).len())).filter(|count| *count > 0)
}

fn nodes(root: &Root) -> Vec<NumaNode> {
    let folder = "/sys/devices/system/node";
    let ids = root
        .names(folder)
        .into_iter()
        .filter_map(|name| name.strip_prefix("node")?.parse().ok());
    let mut nodes: Vec<NumaNode> = ids
        .map(|id| {
            let threads = root.value(&format!("{folder}/node{id}/cpulist"));
            let memory = root.text(&format!("{folder}/node{id}/meminfo"));
            NumaNode {
                id,
                threads: threads.map_or(0, |list| count(numbers(&list).len())),
                memory: memory
                    .and_then(|text| kib(&text, "MemTotal"))
                    .unwrap_or_default(),
            }
        })
        .collect();
    nodes.sort_by_key(|node| node.id);
    nodes
}
