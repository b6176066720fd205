//! GPUs: which backend reaches one, and what stands in the way.

use super::{Device, DeviceKind, DeviceMemory, Found, Obstacle, address, obstacle, used};
use crate::accelerator::{Access, Node};
use crate::gpu::{Gpu, GpuKind};
use crate::pci::Vendor;
use crate::report::{BackendDevice, Report};

pub(super) fn device(report: &Report, gpu: &Gpu, found: &mut Found<'_>) -> Device {
    let reached = found.at_bus(&gpu.id).or_else(|| {
        found.by(|_, device| {
            gpu.kind != GpuKind::Screen && names_vendor(&device.description, gpu.vendor)
        })
    });
    let of_system = Device {
        id: gpu.id.clone(),
        kind: kind(gpu),
        name: name(report, gpu),
        driver: driver(gpu),
        backend: None,
        memory: memory(report, gpu),
        obstacle: None,
    };
    match reached {
        Some((module, device)) => {
            let reached = used(module, device);
            Device {
                kind: match of_system.kind {
                    DeviceKind::IntegratedGpu => DeviceKind::IntegratedGpu,
                    _ => reached.kind,
                },
                driver: of_system.driver,
                memory: reached.memory.or(of_system.memory),
                ..reached
            }
        }
        None => Device {
            obstacle: Some(obstacle(report, gpu)),
            ..of_system
        },
    }
}

/// What a backend says that its device is.
pub(super) fn kind_of(device: &BackendDevice) -> DeviceKind {
    match device.kind.as_str() {
        "integrated-gpu" => DeviceKind::IntegratedGpu,
        "accelerator" => DeviceKind::Npu,
        "cpu" => DeviceKind::Cpu,
        _ => DeviceKind::Gpu,
    }
}

fn kind(gpu: &Gpu) -> DeviceKind {
    match gpu.kind {
        GpuKind::Integrated => DeviceKind::IntegratedGpu,
        GpuKind::Screen => DeviceKind::Screen,
        GpuKind::Discrete | GpuKind::Paravirtual | GpuKind::Unknown => DeviceKind::Gpu,
    }
}

/// Words of a device's description by which its maker is known.
fn names_vendor(description: &str, vendor: Vendor) -> bool {
    let words: &[&str] = match vendor {
        Vendor::Nvidia => &["nvidia", "geforce", "quadro", "tesla"],
        Vendor::Amd => &["amd", "radeon"],
        Vendor::Intel => &["intel", "arc(", "arc "],
        Vendor::Apple => &["apple"],
        Vendor::Arm => &["mali", "immortalis"],
        Vendor::Qualcomm => &["adreno"],
        Vendor::Broadcom => &["v3d", "videocore"],
        // Under WSL, CUDA shows the card by its own name.
        Vendor::Microsoft => &["nvidia", "geforce", "microsoft", "dozen"],
        Vendor::Rockchip | Vendor::Huawei | Vendor::Other => &[],
    };
    let description = description.to_lowercase();
    words.iter().any(|word| description.contains(word))
}

fn name(report: &Report, gpu: &Gpu) -> String {
    let from_nvml = card(report, gpu).map(|card| card.name.clone());
    gpu.name.clone().or(from_nvml).unwrap_or_else(|| {
        let what = match gpu.kind {
            GpuKind::Integrated => "integrated GPU",
            GpuKind::Screen => "display adapter",
            _ => "GPU",
        };
        let vendor = match gpu.vendor {
            Vendor::Other => String::new(),
            vendor => format!("{} ", vendor.name()),
        };
        match &gpu.device_id {
            Some(id) => format!("{vendor}{what} ({id})"),
            None => format!("{vendor}{what}"),
        }
    })
}

fn driver(gpu: &Gpu) -> Option<String> {
    let driver = gpu.driver.as_deref()?;
    Some(match &gpu.driver_version {
        Some(version) => format!("{driver} {version}"),
        None => driver.to_owned(),
    })
}

fn card<'report>(report: &'report Report, gpu: &Gpu) -> Option<&'report crate::report::NvmlCard> {
    let cards = report.nvml.as_ref()?.cards.iter();
    cards
        .into_iter()
        .find(|card| address(&card.bus) == address(&gpu.id))
}

/// Its memory by NVIDIA's library or by the driver's files.
fn memory(report: &Report, gpu: &Gpu) -> Option<DeviceMemory> {
    if let Some(card) = card(report, gpu).filter(|card| card.memory_total > 0) {
        return Some(DeviceMemory {
            total: card.memory_total,
            free: card.memory_free.min(card.memory_total),
            shared: false,
        });
    }
    let memory = gpu.memory?;
    Some(match gpu.kind {
        GpuKind::Integrated => DeviceMemory {
            total: memory.total.saturating_add(memory.shared_total),
            free: (memory.total - memory.used)
                .saturating_add(memory.shared_total - memory.shared_used),
            shared: true,
        },
        _ => DeviceMemory {
            total: memory.total,
            free: memory.total - memory.used,
            shared: false,
        },
    })
}

/// The first thing in the way, in the order in which a user removes them.
fn obstacle(report: &Report, gpu: &Gpu) -> Obstacle {
    if gpu.kind == GpuKind::Screen {
        return obstacle::screen();
    }
    match gpu.driver.as_deref() {
        None => return obstacle::no_driver(gpu.vendor),
        Some("vfio-pci") => return obstacle::given_away(),
        Some(_) => {}
    }
    if let Some(obstacle) = closed(report, &gpu.nodes) {
        return obstacle;
    }
    let wanted = backends(gpu);
    let installed: Vec<_> = report
        .backends
        .iter()
        .filter(|module| wanted.contains(&module.backend.as_str()))
        .collect();
    let faulty = installed
        .iter()
        .find_map(|module| Some((module, module.fault.as_ref()?)));
    match (wanted.first(), faulty) {
        (None, _) => obstacle::no_backend("this GPU"),
        (_, Some((module, fault))) => obstacle::module_fault(&module.backend, fault, gpu.vendor),
        (Some(best), None) if installed.is_empty() => obstacle::no_module(best),
        (Some(_), None) => obstacle::not_found(&installed[0].backend, gpu.vendor),
    }
}

/// A device file that is absent or that this process may not open. One open file is enough for some backend.
pub(super) fn closed(report: &Report, nodes: &[Node]) -> Option<Obstacle> {
    if nodes.is_empty() || nodes.iter().any(|node| node.access == Access::Granted) {
        return None;
    }
    let denied = nodes.iter().find(|node| node.access == Access::Denied);
    Some(match denied {
        Some(node) => obstacle::no_permission(node),
        None => obstacle::no_device_file(&nodes[0].path, report.machine.platform.container),
    })
}

/// The backends that can use it, the best first.
fn backends(gpu: &Gpu) -> &'static [&'static str] {
    match (gpu.vendor, gpu.driver.as_deref()) {
        (Vendor::Nvidia, Some("nouveau")) => &["vulkan"],
        (Vendor::Nvidia, _) => &["cuda", "vulkan"],
        // ROCm supports few integrated GPUs, and Vulkan all of them.
        (Vendor::Amd, _) if gpu.kind == GpuKind::Integrated => &["vulkan", "rocm"],
        (Vendor::Amd, _) => &["rocm", "vulkan"],
        (Vendor::Intel, _) => &["vulkan", "sycl", "openvino"],
        (Vendor::Qualcomm, _) => &["opencl", "vulkan"],
        (Vendor::Microsoft, _) => &["cuda", "vulkan"],
        (Vendor::Apple | Vendor::Arm | Vendor::Broadcom, _) => &["vulkan"],
        (Vendor::Rockchip | Vendor::Huawei | Vendor::Other, _) => &["vulkan"],
    }
}
