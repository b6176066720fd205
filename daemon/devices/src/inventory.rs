//! The devices of a machine, each with the backend that can use it, or with the reason why none can.

mod cpu;
mod gpu;
mod npu;
mod obstacle;

use serde::{Deserialize, Serialize};

use crate::backends::BACKENDS;
use crate::report::{BackendDevice, ModuleReport, Report};

pub use obstacle::{Code, Obstacle};

/// The devices of a machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// The processor first, then usable GPUs, then the rest.
    pub devices: Vec<Device>,
}

/// A device, and whether models can be computed on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name in llama.cpp if it is usable, such as `CPU` or `CUDA0`; else its PCI address or its name by the system.
    pub id: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Its name, for people.
    pub name: String,
    /// The driver of the kernel with its version, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The backend that models use it through; absent if none can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Its memory, if anything tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<DeviceMemory>,
    /// Why it is not usable, or what limits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Obstacle>,
}

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// A GPU with its own memory, or of unknown kind.
    Gpu,
    /// A GPU that shares main memory.
    IntegratedGpu,
    /// An NPU.
    Npu,
    /// An adapter that only shows a picture.
    Screen,
}

/// Memory of a device in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMemory {
    /// All of it.
    pub total: u64,
    /// What is free.
    pub free: u64,
    /// Whether it is a part of main memory.
    pub shared: bool,
}

impl Inventory {
    /// Puts together what the system, the backends and the driver libraries say.
    pub fn of(report: &Report) -> Self {
        let mut left = Found::of(&report.backends);
        let mut devices = vec![cpu::device(report)];
        let machine = &report.machine;
        devices.extend(
            machine
                .gpus
                .iter()
                .map(|gpu| gpu::device(report, gpu, &mut left)),
        );
        devices.extend(
            machine
                .npus
                .iter()
                .map(|npu| npu::device(report, npu, &mut left)),
        );
        // What the system's files do not show, but a backend does.
        devices.extend(left.rest().map(|(module, device)| Device {
            kind: gpu::kind_of(device),
            ..used(module, device)
        }));
        devices.sort_by_key(|device| (device.kind != DeviceKind::Cpu, !device.is_usable()));
        Self { devices }
    }

    /// The devices that models can use.
    pub fn usable(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| device.is_usable())
    }
}

impl Device {
    /// Whether models can use it.
    pub fn is_usable(&self) -> bool {
        self.backend.is_some()
    }
}

/// A device that a backend reaches.
fn used(module: &ModuleReport, device: &BackendDevice) -> Device {
    let kind = gpu::kind_of(device);
    let memory = DeviceMemory {
        total: device.memory_total,
        free: device.memory_free.min(device.memory_total),
        shared: kind == DeviceKind::IntegratedGpu,
    };
    let software = obstacle::software(device);
    let no_memory = (memory.total == 0).then(|| obstacle::no_memory(&module.backend));
    Device {
        id: device.name.clone(),
        kind,
        name: device.description.clone(),
        driver: None,
        backend: no_memory.is_none().then(|| module.backend.clone()),
        memory: Some(memory).filter(|memory| memory.total > 0),
        obstacle: no_memory.or(software),
    }
}

/// The devices of all modules that no device of the system was matched with.
struct Found<'report> {
    left: Vec<(&'report ModuleReport, &'report BackendDevice)>,
}

impl<'report> Found<'report> {
    fn of(modules: &'report [ModuleReport]) -> Self {
        let rank = |module: &ModuleReport| {
            let mut kinds = BACKENDS.iter();
            kinds.position(|kind| kind.name == module.backend)
        };
        let mut modules: Vec<_> = modules
            .iter()
            .filter(|module| module.fault.is_none())
            .collect();
        modules.sort_by_key(|module| rank(module).unwrap_or(BACKENDS.len()));
        let left = modules
            .into_iter()
            .flat_map(|module| module.devices.iter().map(move |device| (module, device)))
            .collect();
        Self { left }
    }

    /// Takes the devices at this PCI address, one of each backend. Returns that of the best backend.
    fn at_bus(&mut self, bus: &str) -> Option<(&'report ModuleReport, &'report BackendDevice)> {
        let same = |device: &BackendDevice| {
            device
                .bus
                .as_deref()
                .is_some_and(|it| address(it) == address(bus))
        };
        let best = self.left.iter().find(|(_, device)| same(device)).copied();
        self.left.retain(|(_, device)| !same(device));
        best
    }

    /// Takes the first device of each backend that tells no address and has this property. Returns that of the best backend.
    fn by(
        &mut self,
        is: impl Fn(&ModuleReport, &BackendDevice) -> bool,
    ) -> Option<(&'report ModuleReport, &'report BackendDevice)> {
        let mut taken: Vec<(&ModuleReport, &BackendDevice)> = Vec::new();
        self.left.retain(|(module, device)| {
            let first = taken
                .iter()
                .all(|(other, _)| other.backend != module.backend);
            let take = first && device.bus.is_none() && is(module, device);
            if take {
                taken.push((module, device));
            }
            !take
        });
        taken.first().copied()
    }

    fn rest(self) -> impl Iterator<Item = (&'report ModuleReport, &'report BackendDevice)> {
        self.left.into_iter()
    }
}

/// A PCI address in one form: CUDA writes capitals, and NVML a domain of eight digits.
fn address(bus: &str) -> String {
    let bus = bus.trim().to_lowercase();
    match bus.split_once(':') {
        Some((domain, rest)) if domain.len() == 8 => format!("{}:{rest}", &domain[4..]),
        _ => bus,
    }
}
