//! What is read of each machine.

use std::path::Path;

use devices::{Cgroups, Disk, Gpu, Machine, Memory, Npu, Pressure, Virtual};

use crate::layout::Layout;

const GIB: u64 = 1 << 30;

/// Compares a machine with lines of what matters.
#[track_caller]
fn check(name: &str, expected: &[&str]) {
    let machine = Machine::read(&Layout::of(name).root());
    let lines: Vec<String> = std::iter::once(processor(&machine))
        .chain(machine.gpus.iter().map(gpu))
        .chain(machine.npus.iter().map(npu))
        .collect();
    assert_eq!(lines, expected);
}

fn processor(machine: &Machine) -> String {
    let cpu = &machine.processor;
    let kinds: Vec<String> = cpu
        .kinds
        .iter()
        .map(|kind| match kind.max_mhz {
            Some(mhz) => format!("{}/{} at {mhz}", kind.cores, kind.threads),
            None => format!("{}/{}", kind.cores, kind.threads),
        })
        .collect();
    format!(
        "{} [{}] {} packages, {} may run",
        cpu.model,
        kinds.join(", "),
        cpu.packages,
        cpu.usable_threads()
    )
}

fn gpu(gpu: &Gpu) -> String {
    let nodes: Vec<&str> = gpu.nodes.iter().map(|node| node.path.as_str()).collect();
    format!(
        "{} {:?} {:?} {} [{}]",
        gpu.id,
        gpu.vendor,
        gpu.kind,
        gpu.driver.as_deref().unwrap_or("no driver"),
        nodes.join(" ")
    )
}

fn npu(npu: &Npu) -> String {
    format!(
        "{} {} {} of {}",
        npu.id,
        npu.name,
        npu.driver.as_deref().unwrap_or("no driver"),
        npu.needs_driver.as_deref().unwrap_or("none")
    )
}

#[test]
fn a_hybrid_laptop() {
    check(
        "hybrid-laptop",
        &[
            "Intel Core Ultra 7 155H [6/12 at 4800, 10/10 at 3800] 1 packages, 22 may run",
            "0000:00:02.0 Intel Integrated i915 [/dev/dri/renderD128]",
            "0000:00:0b.0 Intel NPU intel_vpu of intel_vpu",
        ],
    );
    let layout = Layout::of("hybrid-laptop");
    let machine = Machine::read(&layout.root());
    assert!(machine.processor.has("avx_vnni") && !machine.processor.has("avx512f"));
    assert_eq!(machine.processor.caches[0].count, 1);
    assert_eq!(machine.processor.caches[0].size, 24 << 20);
    assert_eq!(machine.processor.nodes[0].memory, 32_332_876 * 1024);
    assert_eq!(machine.gpus[0].nodes[0].group.as_deref(), Some("render"));
    assert_eq!(machine.npus[0].nodes[0].path, "/dev/accel/accel0");
    assert_eq!(machine.pressure.machine.unwrap().some_avg10, 1.53);
    assert_eq!(machine.memory.unwrap().cgroup_limit, None);
    let disk = Disk::of(&layout.root(), Path::new("/dev/dri")).unwrap();
    assert_eq!(
        (disk.file_system.as_str(), disk.rotational),
        ("ext4", Some(false))
    );
    assert!(disk.total >= disk.free && !disk.is_remote() && !disk.is_in_memory());
}

#[test]
fn an_amd_apu() {
    check(
        "amd-apu",
        &[
            "AMD Ryzen AI 9 HX 370 w/ Radeon 890M [4/8 at 5157, 8/16 at 3307] 1 packages, 24 may run",
            "0000:c5:00.0 Amd Integrated amdgpu [/dev/dri/renderD128 /dev/kfd]",
            "0000:c6:00.1 AMD XDNA NPU no driver of amdxdna",
        ],
    );
    let machine = Machine::read(&Layout::of("amd-apu").root());
    let memory = machine.gpus[0].memory.unwrap();
    assert_eq!((memory.total, memory.used), (512 << 20, 421_867_520));
    assert!(memory.shared_total > 29 * GIB);
}

#[test]
fn a_server_with_two_nvidia_cards() {
    check(
        "two-nvidia",
        &[
            "AMD EPYC 9354 32-Core Processor [64/64 at 3799] 2 packages, 64 may run",
            "0000:21:00.0 Nvidia Discrete nvidia [/dev/nvidiactl]",
            "0000:22:00.0 Nvidia Discrete nvidia [/dev/nvidiactl]",
            "0000:c1:00.0 Other Screen ast []",
        ],
    );
    let machine = Machine::read(&Layout::of("two-nvidia").root());
    assert_eq!(machine.gpus[0].name.as_deref(), Some("NVIDIA L40S"));
    assert_eq!(machine.gpus[0].driver_version.as_deref(), Some("570.86.15"));
    let threads: Vec<u32> = machine
        .processor
        .nodes
        .iter()
        .map(|node| node.threads)
        .collect();
    assert_eq!(threads, [32, 32]);
}

#[test]
fn apple_silicon_under_linux() {
    check(
        "asahi",
        &[
            "Apple MacBook Air (13-inch, M2, 2022) (Apple M2 Avalanche, Apple M2 Blizzard) \
             [4/4 at 3204, 4/4 at 2424] 1 packages, 8 may run",
            "406400000.gpu Apple Integrated asahi [/dev/dri/renderD128]",
            "ane Apple Neural Engine no driver of none",
        ],
    );
    let machine = Machine::read(&Layout::of("asahi").root());
    assert!(machine.platform.unified_memory);
    assert_eq!(machine.processor.architecture, "aarch64");
    assert_eq!(machine.processor.performance_cores(), 4);
}

#[test]
fn a_raspberry_pi() {
    check(
        "raspberry-pi-5",
        &[
            "Raspberry Pi 5 Model B Rev 1.0 (Cortex-A76) [4/4 at 2400] 1 packages, 4 may run",
            "1002000000.v3d Broadcom Integrated v3d [/dev/dri/renderD128]",
        ],
    );
}

#[test]
fn a_rockchip_board() {
    check(
        "rk3588",
        &[
            "Xunlong Orange Pi 5 (Cortex-A55, Cortex-A76) [4/4, 4/4] 1 packages, 8 may run",
            "fb000000.gpu Arm Integrated panthor [/dev/dri/renderD128]",
            "npu Rockchip NPU no driver of rocket",
        ],
    );
}

#[test]
fn a_container() {
    check(
        "container",
        &["Intel Xeon Platinum 8488C [8/16] 1 packages, 3 may run"],
    );
    let root = Layout::of("container");
    let root = root.root();
    let machine = Machine::read(&root);
    assert!(machine.platform.container);
    assert_eq!(machine.processor.allowed, 8);
    assert_eq!(machine.processor.quota, Some(2.5));
    assert!(machine.processor.has("amx_int8"));
    let cgroups = Cgroups::find(&root);
    let memory = Memory::read(&root, &cgroups).unwrap();
    assert_eq!(memory.cgroup_limit, Some(4 * GIB));
    assert_eq!(memory.cgroup_used, Some(GIB), "without the page cache");
    // The pod of the container has less left than the container.
    assert_eq!(memory.free(), 6 * GIB - 5_905_580_032);
    assert_eq!(memory.usable(), 4 * GIB);
    let pressure = Pressure::read(&root, &cgroups);
    assert_eq!(pressure.cgroup.unwrap().full_avg10, 4.0);
    assert_eq!(pressure.machine, None);
}

#[test]
fn a_virtual_machine_without_anything() {
    check(
        "bare-vm",
        &[
            "QEMU Virtual CPU version 2.5+ [2/2] 1 packages, 2 may run",
            "0000:00:02.0 Other Screen bochs-drm []",
        ],
    );
    let machine = Machine::read(&Layout::of("bare-vm").root());
    assert_eq!(machine.platform.virtual_machine, Some(Virtual::Hypervisor));
    let memory = machine.memory.unwrap();
    assert_eq!(memory.available, (204_800 + 102_400 + 1_024_000) * 1024);
    assert_eq!(memory.cgroup_limit, Some(2 * GIB));
    assert_eq!(memory.cgroup_used, Some(GIB / 2));
    assert_eq!(machine.processor.quota, None);
}

#[test]
fn windows_subsystem_for_linux() {
    check(
        "wsl2",
        &[
            "13th Gen Intel Core i7-13700K [24/24] 1 packages, 24 may run",
            "6c5f:00:00.0 Microsoft Paravirtual dxgkrnl [/dev/dxg]",
        ],
    );
    let machine = Machine::read(&Layout::of("wsl2").root());
    assert_eq!(machine.platform.virtual_machine, Some(Virtual::Wsl));
}
