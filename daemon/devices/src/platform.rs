//! The kind of machine: real, virtual, a container, Windows' subsystem for Linux.

use serde::{Deserialize, Serialize};

use crate::root::Root;

/// What kind of machine this is, as far as that decides which devices can be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// The version of the Linux kernel.
    pub kernel: String,
    /// The name of the board or the product, such as `Raspberry Pi 5 Model B`; empty if unknown.
    pub board: String,
    /// Whether the system runs on another one; absent for real hardware, or if unknown.
    #[serde(rename = "virtual", skip_serializing_if = "Option::is_none")]
    pub virtual_machine: Option<Virtual>,
    /// Whether this process runs in a container, which shows only the devices that it was started with.
    pub container: bool,
    /// Whether processor and GPU share one memory, as on NVIDIA Jetson and Apple silicon.
    pub unified_memory: bool,
}

/// A system under which another one runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Virtual {
    /// Windows' subsystem for Linux, version 2.
    Wsl,
    /// Another hypervisor.
    Hypervisor,
}

/// Files that container engines leave in each container.
const CONTAINER: [&str; 3] = [
    "/.dockerenv",
    "/run/.containerenv",
    "/run/systemd/container",
];

impl Platform {
    pub(crate) fn read(root: &Root) -> Self {
        let kernel = root.value("/proc/sys/kernel/osrelease").unwrap_or_default();
        let board = ["/proc/device-tree/model", "/sys/class/dmi/id/product_name"]
            .iter()
            .find_map(|path| root.value(path))
            .unwrap_or_default();
        let compatible = root
            .value("/proc/device-tree/compatible")
            .unwrap_or_default();
        Self {
            virtual_machine: virtual_machine(root, &kernel),
            container: CONTAINER.iter().any(|path| root.exists(path)),
            unified_memory: ["nvidia,tegra", "apple,"]
                .iter()
                .any(|name| compatible.contains(name)),
            kernel,
            board,
        }
    }
}

fn virtual_machine(root: &Root, kernel: &str) -> Option<Virtual> {
    if root.exists("/dev/dxg") || kernel.to_lowercase().contains("microsoft-standard") {
        return Some(Virtual::Wsl);
    }
    let cpuinfo = root.text("/proc/cpuinfo")?;
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?;
    flags
        .split_whitespace()
        .any(|flag| flag == "hypervisor")
        .then_some(Virtual::Hypervisor)
}
