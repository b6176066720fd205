//! What stands in the way of using a device, and the command that helps. `docs/devices.md` explains each code.

use serde::{Deserialize, Serialize};

use crate::accelerator::Node;
use crate::pci::Vendor;
use crate::report::BackendDevice;

/// Why a device is not usable, or what limits it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// Its kind, for programs.
    pub code: Code,
    /// The reason, for people: a sentence without a final stop.
    pub reason: String,
    /// What helps: a command, or a few words; absent if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The kind of an obstacle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The adapter only shows a picture.
    Screen,
    /// No driver of the kernel is bound to the device.
    NoDriver,
    /// The device is passed on to a virtual machine.
    GivenAway,
    /// The device file does not exist.
    NoDeviceFile,
    /// This user may not open the device file.
    NoPermission,
    /// llama.cpp has no backend for the device.
    NoBackend,
    /// The backend module is not installed.
    NoModule,
    /// The backend module is installed and cannot be used.
    ModuleFault,
    /// The backend module works and does not find the device.
    NotFound,
    /// The backend reports a device without memory.
    NoMemory,
    /// The device is a program that computes on the processor.
    Software,
    /// The processor lacks the instructions that make models fast.
    NoAvx2,
    /// Code that a newer version of slm wrote.
    #[serde(other)]
    Unknown,
}

impl Code {
    /// All codes that this version writes.
    pub const ALL: [Self; 12] = [
        Self::Screen,
        Self::NoDriver,
        Self::GivenAway,
        Self::NoDeviceFile,
        Self::NoPermission,
        Self::NoBackend,
        Self::NoModule,
        Self::ModuleFault,
        Self::NotFound,
        Self::NoMemory,
        Self::Software,
        Self::NoAvx2,
    ];

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Screen => "screen",
            Self::NoDriver => "no_driver",
            Self::GivenAway => "given_away",
            Self::NoDeviceFile => "no_device_file",
            Self::NoPermission => "no_permission",
            Self::NoBackend => "no_backend",
            Self::NoModule => "no_module",
            Self::ModuleFault => "module_fault",
            Self::NotFound => "not_found",
            Self::NoMemory => "no_memory",
            Self::Software => "software",
            Self::NoAvx2 => "no_avx2",
            Self::Unknown => "unknown",
        }
    }
}

fn without_remedy(code: Code, reason: impl Into<String>) -> Obstacle {
    Obstacle {
        code,
        reason: reason.into(),
        remedy: None,
    }
}

fn with_remedy(code: Code, reason: impl Into<String>, remedy: impl Into<String>) -> Obstacle {
    Obstacle {
        remedy: Some(remedy.into()),
        ..without_remedy(code, reason)
    }
}

pub(super) fn screen() -> Obstacle {
    without_remedy(Code::Screen, "it only shows a picture")
}

pub(super) fn no_driver(vendor: Vendor) -> Obstacle {
    let remedy = match vendor {
        Vendor::Nvidia => "install NVIDIA's driver: sudo apt install nvidia-driver",
        Vendor::Amd => "sudo modprobe amdgpu",
        Vendor::Intel => "sudo modprobe xe || sudo modprobe i915",
        Vendor::Microsoft => "update Windows' subsystem for Linux: wsl --update",
        _ => "install the driver of its maker",
    };
    with_remedy(Code::NoDriver, "no driver is loaded for it", remedy)
}

pub(super) fn no_npu_driver(driver: &str) -> Obstacle {
    with_remedy(
        Code::NoDriver,
        format!("its driver {driver} is not loaded"),
        format!("sudo modprobe {driver}"),
    )
}

pub(super) fn given_away() -> Obstacle {
    without_remedy(
        Code::GivenAway,
        "its driver is vfio-pci: it belongs to a virtual machine",
    )
}

pub(super) fn no_device_file(path: &str, container: bool) -> Obstacle {
    let remedy = match (container, path.starts_with("/dev/nvidia")) {
        (true, true) => "start the container with --gpus all".to_owned(),
        (true, false) => format!("start the container with --device {path}"),
        (false, true) => "sudo nvidia-modprobe -u".to_owned(),
        (false, false) => "the driver did not start: sudo dmesg | grep -i drm".to_owned(),
    };
    with_remedy(Code::NoDeviceFile, format!("{path} does not exist"), remedy)
}

pub(super) fn no_permission(node: &Node) -> Obstacle {
    let remedy = match node.group.as_deref() {
        Some(group) if group != "root" && group.parse::<u32>().is_err() => {
            format!("sudo usermod -aG {group} $USER, then log in again")
        }
        _ => format!(
            "let an administrator permit this user to open {}",
            node.path
        ),
    };
    with_remedy(
        Code::NoPermission,
        format!("this user may not open {}", node.path),
        remedy,
    )
}

pub(super) fn no_backend(what: &str) -> Obstacle {
    without_remedy(
        Code::NoBackend,
        format!("llama.cpp has no backend for {what}"),
    )
}

pub(super) fn only_core_ml() -> Obstacle {
    without_remedy(
        Code::NoBackend,
        "only Apple's Core ML can use it, and llama.cpp does not",
    )
}

pub(super) fn no_module(backend: &str) -> Obstacle {
    with_remedy(
        Code::NoModule,
        format!("the backend module {backend} is not installed"),
        format!("installer/install.sh --backend {backend}"),
    )
}

pub(super) fn module_fault(backend: &str, fault: &str, vendor: Vendor) -> Obstacle {
    // A driver library that is missing is the most frequent fault, and building the module again does not help.
    let remedy = match fault.contains("cannot open shared object file") {
        true => driver_package(vendor),
        false => format!("installer/install.sh --backend {backend}"),
    };
    with_remedy(
        Code::ModuleFault,
        format!("the backend module {backend} cannot be used: {fault}"),
        remedy,
    )
}

pub(super) fn not_found(backend: &str, vendor: Vendor) -> Obstacle {
    with_remedy(
        Code::NotFound,
        format!("the backend module {backend} works and does not find it"),
        driver_package(vendor),
    )
}

/// How to get the library of the driver that runs in a program.
fn driver_package(vendor: Vendor) -> String {
    match vendor {
        Vendor::Nvidia => "install NVIDIA's driver: sudo apt install nvidia-driver",
        Vendor::Microsoft => "install the GPU's driver in Windows, then: wsl --update",
        Vendor::Huawei => "install the CANN toolkit of Huawei",
        _ => "sudo apt install mesa-vulkan-drivers",
    }
    .to_owned()
}

pub(super) fn no_memory(backend: &str) -> Obstacle {
    without_remedy(
        Code::NoMemory,
        format!("the backend module {backend} reports no memory for it"),
    )
}

/// lavapipe and its like, which llama.cpp uses only when told to.
pub(super) fn software(device: &BackendDevice) -> Option<Obstacle> {
    let description = device.description.to_lowercase();
    let software = device.kind == "cpu"
        || ["llvmpipe", "swiftshader"]
            .iter()
            .any(|name| description.contains(name));
    software.then(|| {
        without_remedy(
            Code::Software,
            "it is a program that computes on the processor, for tests",
        )
    })
}

pub(super) fn no_cpu_module(fault: &str) -> Obstacle {
    with_remedy(
        Code::ModuleFault,
        format!("the CPU module cannot be used: {fault}"),
        "slm-runner probe cpu",
    )
}

pub(super) fn no_avx2() -> Obstacle {
    without_remedy(
        Code::NoAvx2,
        "it has no AVX2, so models answer slowly; a virtual machine may hide it",
    )
}
