//! Cores, and their kinds on processors that have fast and slow ones.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::count;
use crate::list::numbers;
use crate::root::Root;

/// Speeds within this ratio are of one kind: cores of one kind have turbo frequencies that differ by some percent.
const SAME_KIND: f64 = 1.2;

/// The kinds that Intel's hybrid processors list, the fastest first (`/sys/devices/cpu_core/cpus`).
const INTEL: [&str; 3] = ["cpu_core", "cpu_atom", "cpu_lowpower"];

/// Cores of one speed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CoreKind {
    /// Number of cores.
    pub cores: u32,
    /// Number of their hardware threads.
    pub threads: u32,
    /// Their highest frequency in MHz; absent if the system does not tell, as in most virtual machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_mhz: Option<u32>,
}

/// How the hardware threads form cores and packages.
#[derive(Debug, Default)]
pub(super) struct Topology {
    pub(super) packages: u32,
    pub(super) kinds: Vec<CoreKind>,
}

impl Topology {
    pub(super) fn cores(&self) -> u32 {
        self.kinds.iter().map(|kind| kind.cores).sum()
    }
}

/// Reads the topology of these processors.
pub(super) fn read(root: &Root, online: &[u32]) -> Topology {
    let value =
        |cpu: u32, name: &str| root.value(&format!("/sys/devices/system/cpu/cpu{cpu}/{name}"));
    let packages: BTreeSet<_> = online
        .iter()
        .filter_map(|cpu| value(*cpu, "topology/physical_package_id"))
        .collect();
    let mut kinds: Vec<CoreKind> = kinds(root, online)
        .iter()
        .map(|threads| {
            // The first of the threads of a core stands for it.
            let cores: BTreeSet<u32> = threads
                .iter()
                .map(|cpu| {
                    value(*cpu, "topology/core_cpus_list")
                        .or_else(|| value(*cpu, "topology/thread_siblings_list"))
                        .and_then(|list| numbers(&list).first().copied())
                        .unwrap_or(*cpu)
                })
                .collect();
            CoreKind {
                cores: count(cores.len()),
                threads: count(threads.len()),
                max_mhz: threads.iter().filter_map(|cpu| max_mhz(root, *cpu)).max(),
            }
        })
        .collect();
    // Nothing says which of the listed kinds is the fastest but the order of the kernel's names, which is right on each known one.
    kinds.retain(|kind| kind.threads > 0);
    Topology {
        packages: count(packages.len()).max(1),
        kinds,
    }
}

/// The processors of each kind, the fastest first.
fn kinds(root: &Root, online: &[u32]) -> Vec<Vec<u32>> {
    by_intel_lists(root, online)
        .or_else(|| by_speed(root, online, "cpu_capacity"))
        .or_else(|| by_speed(root, online, "cpufreq/cpuinfo_max_freq"))
        .or_else(|| by_speed(root, online, "acpi_cppc/highest_perf"))
        .unwrap_or_else(|| vec![online.to_vec()])
}

fn by_intel_lists(root: &Root, online: &[u32]) -> Option<Vec<Vec<u32>>> {
    let mut left: BTreeSet<u32> = online.iter().copied().collect();
    let lists = INTEL
        .iter()
        .filter_map(|name| root.value(&format!("/sys/devices/{name}/cpus")));
    let mut kinds: Vec<Vec<u32>> = lists
        .map(|list| {
            numbers(&list)
                .into_iter()
                .filter(|cpu| left.remove(cpu))
                .collect()
        })
        .collect();
    if kinds.len() < 2 {
        return None;
    }
    kinds.push(left.into_iter().collect());
    Some(kinds)
}

/// Groups processors by a number that grows with their speed; `None` if it is missing or tells no difference.
fn by_speed(root: &Root, online: &[u32], name: &str) -> Option<Vec<Vec<u32>>> {
    let mut by_speed: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for cpu in online {
        let speed = root.number(&format!("/sys/devices/system/cpu/cpu{cpu}/{name}"))?;
        by_speed.entry(speed).or_default().push(*cpu);
    }
    let mut kinds: Vec<Vec<u32>> = Vec::new();
    let mut last = None;
    for (speed, cpus) in by_speed.into_iter().rev() {
        let same = last.is_some_and(|last: u64| last as f64 <= speed as f64 * SAME_KIND);
        match kinds.last_mut().filter(|_| same) {
            Some(kind) => kind.extend(cpus),
            None => kinds.push(cpus),
        }
        last = Some(speed);
    }
    (kinds.len() > 1).then_some(kinds)
}

fn max_mhz(root: &Root, cpu: u32) -> Option<u32> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq");
    u32::try_from(root.number(&path)? / 1000).ok()
}
