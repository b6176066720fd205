//! GPUs and display adapters: on the PCI bus, on chips, and of the host of a virtual machine.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::accelerator::Node;
use crate::pci::{self, Vendor};
use crate::root::Root;

/// PCI base classes: display controllers, and processing accelerators (AMD Instinct cards are among these).
const DISPLAY: u32 = 0x03;
const PROCESSING: u32 = 0x12;

/// Adapters that show a picture and compute nothing: servers' management controllers and hypervisors' screens.
const SCREENS: [(u32, u32); 8] = [
    (0x1a03, 0x2000), // ASPEED
    (0x102b, 0x0534), // Matrox G200
    (0x102b, 0x0536),
    (0x1013, 0x00b8), // Cirrus, QEMU
    (0x1234, 0x1111), // Bochs, QEMU
    (0x1b36, 0x0100), // QXL
    (0x15ad, 0x0405), // VMware
    (0x80ee, 0xbeef), // VirtualBox
];

/// virtio-gpu: a screen, or the host's GPU through Venus.
const VIRTIO: (u32, u32) = (0x1af4, 0x1050);

/// Drivers of GPUs that are part of a chip and on no bus, with their makers.
const ON_CHIP: [(&str, Vendor); 9] = [
    ("panfrost", Vendor::Arm),
    ("panthor", Vendor::Arm),
    ("lima", Vendor::Arm),
    ("mali", Vendor::Arm),
    ("v3d", Vendor::Broadcom),
    ("msm", Vendor::Qualcomm),
    ("msm_dpu", Vendor::Qualcomm),
    ("asahi", Vendor::Apple),
    ("tegra", Vendor::Nvidia),
];

/// A GPU or a display adapter, as the system sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gpu {
    /// Its PCI address, or the name of the device on a chip.
    pub id: String,
    /// Its maker.
    pub vendor: Vendor,
    /// The maker's number for it, in four hexadecimal digits; absent on a chip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Its name, if the driver tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is.
    pub kind: GpuKind,
    /// The driver of the kernel; absent if none is bound to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The version of the driver, if it has a separate one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_version: Option<String>,
    /// Its memory, if the driver tells it without a library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<GpuMemory>,
    /// The device files that backends open.
    pub nodes: Vec<Node>,
}

/// What a graphics device is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuKind {
    /// With its memory on a card.
    Discrete,
    /// Part of the processor, with its memory in main memory.
    Integrated,
    /// A GPU of the host, in a virtual machine.
    Paravirtual,
    /// It only shows a picture.
    Screen,
    /// Unknown.
    #[default]
    Unknown,
}

/// Memory of a GPU in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuMemory {
    /// Its own memory (VRAM); of an integrated GPU, the part of main memory that only it has.
    pub total: u64,
    /// What of it is in use.
    pub used: u64,
    /// Main memory that it can use besides (GTT).
    pub shared_total: u64,
    /// What of that is in use.
    pub shared_used: u64,
}

/// All GPUs, those on the PCI bus first.
pub(crate) fn read(root: &Root) -> Vec<Gpu> {
    let mut gpus: Vec<Gpu> = pci::devices(root)
        .filter(is_gpu)
        .map(|device| on_pci(root, &device))
        .collect();
    let on_bus: BTreeSet<String> = gpus.iter().map(|gpu| gpu.id.clone()).collect();
    gpus.extend(on_chip(root, &on_bus));
    gpus.extend(jetson(root).filter(|_| gpus.is_empty()));
    if gpus.is_empty() {
        gpus.extend(of_windows(root));
    }
    gpus
}

fn is_gpu(device: &pci::Device) -> bool {
    match device.class >> 16 {
        DISPLAY => true,
        PROCESSING => device.driver.as_deref() == Some("amdgpu") || device.vendor == 0x1002,
        _ => false,
    }
}

fn on_pci(root: &Root, device: &pci::Device) -> Gpu {
    let id = (device.vendor, device.device);
    let memory = amdgpu_memory(root, &device.folder);
    let vendor = Vendor::of(device.vendor);
    let kind = if SCREENS.contains(&id) {
        GpuKind::Screen
    } else if id == VIRTIO || vendor == Vendor::Microsoft {
        GpuKind::Paravirtual
    } else {
        kind(root, device, vendor, memory.as_ref())
    };
    let driver = device.driver.as_deref();
    Gpu {
        id: device.address.clone(),
        vendor,
        device_id: Some(format!("{:04x}", device.device)),
        name: nvidia_name(root, &device.address)
            .or_else(|| root.value(&format!("{}/product_name", device.folder))),
        kind,
        driver: device.driver.clone(),
        driver_version: driver.and_then(|driver| driver_version(root, driver)),
        memory,
        nodes: nodes(root, device, vendor),
    }
}

fn kind(root: &Root, device: &pci::Device, vendor: Vendor, memory: Option<&GpuMemory>) -> GpuKind {
    match vendor {
        Vendor::Nvidia => GpuKind::Discrete,
        // Intel's integrated GPUs all are device 2 on the root bus.
        Vendor::Intel if device.address.ends_with(":00:02.0") => GpuKind::Integrated,
        Vendor::Intel => GpuKind::Discrete,
        // An APU has no slot: its bridge is not removable, and it takes only a small part of main memory for itself.
        Vendor::Amd if root.exists(&format!("{}/mem_info_vram_vendor", device.folder)) => {
            match root
                .value(&format!("{}/mem_info_vram_vendor", device.folder))
                .as_deref()
            {
                Some("unknown") | None => apu_by_size(memory),
                Some(_) => GpuKind::Discrete,
            }
        }
        Vendor::Amd => apu_by_size(memory),
        _ => GpuKind::Unknown,
    }
}

/// An APU's own memory is smaller than what it shares; a card's driver permits at most three quarters of main memory besides.
fn apu_by_size(memory: Option<&GpuMemory>) -> GpuKind {
    match memory {
        Some(memory) if memory.total < memory.shared_total => GpuKind::Integrated,
        Some(_) => GpuKind::Discrete,
        None => GpuKind::Unknown,
    }
}

/// `Documentation/gpu/amdgpu/driver-misc.rst`: Memory Usage Information.
fn amdgpu_memory(root: &Root, folder: &str) -> Option<GpuMemory> {
    let number = |name: &str| root.number(&format!("{folder}/mem_info_{name}"));
    let total = number("vram_total")?;
    let shared_total = number("gtt_total").unwrap_or_default();
    Some(GpuMemory {
        total,
        used: number("vram_used").unwrap_or_default().min(total),
        shared_total,
        shared_used: number("gtt_used").unwrap_or_default().min(shared_total),
    })
}

/// NVIDIA's driver writes the name of each card into a file.
fn nvidia_name(root: &Root, address: &str) -> Option<String> {
    let text = root.text(&format!("/proc/driver/nvidia/gpus/{address}/information"))?;
    let name = text.lines().find_map(|line| line.strip_prefix("Model:"))?;
    Some(name.trim().to_owned())
}

fn driver_version(root: &Root, driver: &str) -> Option<String> {
    if driver == "nvidia" {
        // NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Fri Jan 24 …
        let text = root.text("/proc/driver/nvidia/version")?;
        let version = text.split_whitespace().find(|word| {
            word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.')
        });
        return version.map(str::to_owned);
    }
    root.value(&format!("/sys/module/{driver}/version"))
}

fn nodes(root: &Root, device: &pci::Device, vendor: Vendor) -> Vec<Node> {
    let mut paths: Vec<String> = root
        .names(&format!("{}/drm", device.folder))
        .into_iter()
        .filter(|name| name.starts_with("renderD"))
        .map(|name| format!("/dev/dri/{name}"))
        .collect();
    match vendor {
        Vendor::Nvidia if device.driver.as_deref() == Some("nvidia") => {
            paths.push("/dev/nvidiactl".to_owned());
        }
        Vendor::Amd if device.driver.as_deref() == Some("amdgpu") => {
            paths.push("/dev/kfd".to_owned());
        }
        Vendor::Microsoft => paths.push("/dev/dxg".to_owned()),
        _ => {}
    }
    paths
        .into_iter()
        .map(|path| Node::look(root, path))
        .collect()
}

/// GPUs of chips have a render node and no PCI address.
fn on_chip(root: &Root, on_bus: &BTreeSet<String>) -> Vec<Gpu> {
    let folder = "/sys/class/drm";
    let render = root
        .names(folder)
        .into_iter()
        .filter(|name| name.starts_with("renderD"));
    render
        .filter_map(|node| {
            let device = format!("{folder}/{node}/device");
            let id = root.link_name(&device)?;
            if on_bus.contains(&id) {
                return None;
            }
            let driver = root.link_name(&format!("{device}/driver"))?;
            let (_, vendor) = ON_CHIP.iter().find(|(name, _)| *name == driver)?;
            Some(Gpu {
                id,
                vendor: *vendor,
                kind: GpuKind::Integrated,
                driver_version: driver_version(root, &driver),
                driver: Some(driver),
                nodes: vec![Node::look(root, format!("/dev/dri/{node}"))],
                ..Gpu::default()
            })
        })
        .collect()
}

/// The GPU of an NVIDIA Jetson, whose driver has no render node.
fn jetson(root: &Root) -> Option<Gpu> {
    let compatible = root.value("/proc/device-tree/compatible")?;
    if !compatible.contains("nvidia,tegra") {
        return None;
    }
    let path = ["/dev/nvgpu/igpu0/ctrl", "/dev/nvhost-ctrl-gpu"]
        .iter()
        .find(|path| root.exists(path))?;
    Some(Gpu {
        id: "tegra".to_owned(),
        vendor: Vendor::Nvidia,
        name: root.value("/proc/device-tree/model"),
        kind: GpuKind::Integrated,
        driver: Some("nvgpu".to_owned()),
        nodes: vec![Node::look(root, (*path).to_owned())],
        ..Gpu::default()
    })
}

/// The GPUs of Windows, which its subsystem for Linux shows as one device file.
fn of_windows(root: &Root) -> Option<Gpu> {
    let path = "/dev/dxg";
    root.exists(path).then(|| Gpu {
        id: "dxg".to_owned(),
        vendor: Vendor::Microsoft,
        name: Some("GPU of Windows".to_owned()),
        kind: GpuKind::Paravirtual,
        driver: Some("dxgkrnl".to_owned()),
        nodes: vec![Node::look(root, path.to_owned())],
        ..Gpu::default()
    })
}
