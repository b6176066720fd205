//! Malformed and hostile files: what cannot be read is absent, and nothing panics.

use std::path::Path;

use devices::{Cgroups, Disk, Machine, Memory, Pressure, Root};
use proptest::prelude::*;

use crate::layout::Layout;

#[test]
fn a_system_without_files_has_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::read(&Root::new(folder.path()));
    assert_eq!(machine.memory, None);
    assert_eq!(machine.processor.threads, 0);
    assert_eq!(machine.processor.usable_threads(), 1);
    assert!(machine.gpus.is_empty() && machine.npus.is_empty());
}

#[test]
fn a_group_outside_the_mounted_ones_counts_as_the_mounted_root() {
    let machine = Layout::parse(
        "/proc/meminfo:\nMemTotal: 8000 kB\nMemAvailable: 8000 kB\n\
         /proc/self/cgroup = 4:memory:/docker/abc/../../x\n\
         /proc/self/mountinfo = 9 8 0:1 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
         /sys/fs/cgroup/memory/memory.limit_in_bytes = 4096000\n\
         /sys/fs/cgroup/memory/memory.usage_in_bytes = 96000\n",
    );
    let root = machine.root();
    let memory = Memory::read(&root, &Cgroups::find(&root)).unwrap();
    assert_eq!(memory.cgroup_limit, Some(4_096_000));
    assert_eq!((memory.usable(), memory.free()), (4_096_000, 4_000_000));
}

#[test]
fn a_limit_above_all_memory_is_none() {
    let machine = Layout::parse(
        "/proc/meminfo:\nMemTotal: 8000 kB\nMemAvailable: 9000 kB\n\
         /proc/self/cgroup = 0::/a\n\
         /proc/self/mountinfo = 9 8 0:1 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n\
         /sys/fs/cgroup/a/memory.max = 18446744073709551615\n\
         /sys/fs/cgroup/a/memory.current = 1\n",
    );
    let root = machine.root();
    let memory = Memory::read(&root, &Cgroups::find(&root)).unwrap();
    assert_eq!(memory.cgroup_limit, None);
    assert_eq!(memory.free(), 8000 * 1024, "no more than there is");
}

#[test]
fn a_disk_of_a_hypervisor_is_of_unknown_kind() {
    let disk = |device: &str| {
        let machine = Layout::parse(&format!(
            "/proc/self/mountinfo = 27 1 254:0 / / rw - ext4 /dev/{device} rw\n\
             /sys/dev/block/254:0/queue/rotational = 1\n"
        ));
        Disk::of(&machine.root(), Path::new("/proc")).unwrap()
    };
    assert_eq!(disk("vda1").rotational, None);
    assert_eq!(disk("sda1").rotational, Some(true));
}

#[test]
fn this_machine_is_read() {
    let root = Root::system();
    let cgroups = Cgroups::find(&root);
    let memory = Memory::read(&root, &cgroups).expect("Linux tells the memory");
    assert!(memory.free() <= memory.usable() && memory.usable() <= memory.total);
    Pressure::read(&root, &cgroups);
    let machine = Machine::read(&root);
    assert!(machine.processor.threads > 0);
    assert!(machine.processor.allowed <= machine.processor.threads);
}

/// Files that the crate reads.
const FILES: [&str; 20] = [
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/self/cgroup",
    "/proc/self/mountinfo",
    "/proc/self/status",
    "/proc/pressure/memory",
    "/proc/driver/nvidia/version",
    "/proc/device-tree/compatible",
    "/etc/group",
    "/sys/devices/system/cpu/online",
    "/sys/devices/cpu_core/cpus",
    "/sys/devices/cpu_atom/cpus",
    "/sys/devices/system/cpu/cpu0/cache/index0/size",
    "/sys/devices/system/cpu/cpu0/cpu_capacity",
    "/sys/devices/system/node/node0/meminfo",
    "/sys/bus/pci/devices/0000:00:02.0/class",
    "/sys/bus/pci/devices/0000:00:02.0/vendor",
    "/sys/bus/pci/devices/0000:00:02.0/device",
    "/sys/bus/pci/devices/0000:00:02.0/mem_info_vram_total",
    "/sys/fs/cgroup/memory.max",
];

/// Pieces of which the files of a machine consist, in an order that makes no sense.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~\n\t]{0,20}",
        Just("18446744073709551616".to_owned()),
        Just("0-4294967295,".to_owned()),
        Just("MemTotal: 18446744073709551615 kB\n".to_owned()),
        Just("MemAvailable: 1 kB\n".to_owned()),
        Just("0::/a/b\n".to_owned()),
        Just("9 8 0:1 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n".to_owned()),
        Just("0x030000".to_owned()),
        Just("0x1002".to_owned()),
        Just("some avg10=1e400 total=-1\n".to_owned()),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_content_of_the_files_panics(texts in prop::collection::vec(text(), FILES.len())) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in FILES.iter().zip(&texts) {
            let path = folder.path().join(&path[1..]);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let machine = Machine::read(&Root::new(folder.path()));
        if let Some(memory) = machine.memory {
            prop_assert!(memory.free() <= memory.total);
        }
        let text = serde_json::to_string(&machine).unwrap();
        let again: Machine = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}
