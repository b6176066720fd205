//! The file system of a folder, such as the store's.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::root::Root;

/// File systems of another machine; models on them load at the speed of the network.
const REMOTE: [&str; 8] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "virtiofs",
    "fuse.sshfs",
    "ceph",
];

/// File systems in main memory; what is on them is lost at a restart, and takes memory from models.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// The file system that has a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    /// Its type, such as `ext4`.
    pub file_system: String,
    /// Its device, such as `/dev/nvme0n1p2`.
    pub device: String,
    /// Whether the device has rotating disks; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotational: Option<bool>,
    /// Its size in bytes.
    pub total: u64,
    /// Bytes that programs without privileges can still write.
    pub free: u64,
}

impl Disk {
    /// Finds the file system of an absolute path without symbolic links; `None` if the system does not tell.
    pub fn of(root: &Root, path: &Path) -> Option<Self> {
        let mounts = root.text("/proc/self/mountinfo")?;
        // A later mount hides an earlier one at the same place.
        let mount = mounts
            .lines()
            .filter_map(Mount::parse)
            .filter(|mount| path.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.len())?;
        let (total, free) = root.space(path)?;
        Some(Self {
            rotational: rotational(root, &mount),
            mount: mount.point,
            file_system: mount.file_system.to_owned(),
            device: mount.device.to_owned(),
            total,
            free,
        })
    }

    /// Whether another machine has it.
    pub fn is_remote(&self) -> bool {
        REMOTE.contains(&self.file_system.as_str())
    }

    /// Whether it is in main memory.
    pub fn is_in_memory(&self) -> bool {
        IN_MEMORY.contains(&self.file_system.as_str())
    }
}

/// A line of `/proc/self/mountinfo`.
struct Mount<'text> {
    /// Major and minor number of the device, such as `254:0`.
    number: &'text str,
    point: String,
    file_system: &'text str,
    device: &'text str,
}

impl<'text> Mount<'text> {
    fn parse(line: &'text str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(2);
        let number = mount.next()?;
        let mut system = system.split(' ');
        Some(Self {
            number,
            point: unescape(mount.nth(1)?),
            file_system: system.next()?,
            device: system.next()?,
        })
    }
}

/// The kernel writes a space in a path as `\040`.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ")
}

fn rotational(root: &Root, mount: &Mount<'_>) -> Option<bool> {
    let name = mount.device.rsplit('/').next()?;
    // A disk of a hypervisor says that it rotates, whatever the host has.
    if ["vd", "xvd"].iter().any(|disk| name.starts_with(disk)) {
        return None;
    }
    // A partition has no queue; the disk above it does. btrfs and overlays have numbers of no device, but may name one.
    [
        format!("/sys/dev/block/{}/queue", mount.number),
        format!("/sys/dev/block/{}/../queue", mount.number),
        format!("/sys/class/block/{name}/queue"),
        format!("/sys/class/block/{name}/../queue"),
    ]
    .iter()
    .find_map(|queue| root.number(&format!("{queue}/rotational")))
    .map(|value| value == 1)
}
