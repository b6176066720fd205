//! The memory of the host and of accelerators, as the scheduler asks for it.

use devices::{Cgroups, Memory, Pressure, Root};

use crate::accelerators::{Accelerators, DeviceMemory};
use crate::scheduler::{HostMemory, Machine};

/// Reads the memory of this machine and the limits of the daemon's control group.
#[derive(Debug)]
pub(crate) struct Host {
    root: Root,
    cgroups: Cgroups,
    accelerators: Accelerators,
}

impl Host {
    /// Reads below this root.
    pub(crate) fn new(root: Root, accelerators: Accelerators) -> Self {
        let cgroups = Cgroups::find(&root);
        Self {
            root,
            cgroups,
            accelerators,
        }
    }
}

/// The memory of the host, once.
pub(crate) fn memory(root: &Root) -> Option<HostMemory> {
    read(root, &Cgroups::find(root))
}

fn read(root: &Root, cgroups: &Cgroups) -> Option<HostMemory> {
    let memory = Memory::read(root, cgroups)?;
    let pressure = Pressure::read(root, cgroups);
    let stalls = pressure.machine.into_iter().chain(pressure.cgroup);
    Some(HostMemory {
        total: memory.usable(),
        available: memory.free(),
        stalled: stalls.map(|stall| stall.some_avg10).fold(0.0, f64::max),
    })
}

impl Machine for Host {
    fn memory(&self) -> Option<HostMemory> {
        read(&self.root, &self.cgroups)
    }

    fn devices(&self) -> Vec<DeviceMemory> {
        self.accelerators.all_devices()
    }
}

#[cfg(test)]
mod tests {
    use supervisor::Program;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::devices::tests::devices;

    fn host(root: &std::path::Path) -> Host {
        let accelerators = Accelerators::new(
            devices(root, &Program::new("/absent")),
            Vec::new(),
            TaskTracker::new(),
        );
        Host::new(Root::new(root), accelerators)
    }

    #[test]
    fn the_smaller_limit_and_the_longer_wait_count() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/meminfo", "MemTotal: 8000 kB\nMemAvailable: 6000 kB\n");
        write(
            "proc/pressure/memory",
            "some avg10=7.50 avg60=0.00 avg300=0.00 total=5\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=5\n",
        );
        let memory = host(folder.path()).memory().unwrap();
        let kib = |bytes: u64| bytes / 1024;
        assert_eq!(
            (kib(memory.total), kib(memory.available), memory.stalled),
            (8000, 6000, 7.5)
        );
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(host(empty.path()).memory(), None);
    }
}
