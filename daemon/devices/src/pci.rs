//! Devices on the PCI bus.

use serde::{Deserialize, Serialize};

use crate::root::Root;

/// The folder of all devices.
const FOLDER: &str = "/sys/bus/pci/devices";

/// The maker of a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
    /// Intel.
    Intel,
    /// Apple.
    Apple,
    /// ARM, whose GPUs are called Mali.
    Arm,
    /// Qualcomm.
    Qualcomm,
    /// Broadcom, whose GPUs are in Raspberry Pis.
    Broadcom,
    /// Rockchip.
    Rockchip,
    /// Huawei.
    Huawei,
    /// Microsoft, for a GPU of the host in a virtual machine.
    Microsoft,
    /// Another maker.
    #[default]
    #[serde(other)]
    Other,
}

impl Vendor {
    /// By the number that the PCI SIG gave it.
    pub(crate) fn of(id: u32) -> Self {
        match id {
            0x10de => Self::Nvidia,
            0x1002 | 0x1022 => Self::Amd,
            // Habana Labs belongs to Intel.
            0x8086 | 0x1da3 => Self::Intel,
            0x106b => Self::Apple,
            0x13b5 => Self::Arm,
            0x17cb | 0x5143 => Self::Qualcomm,
            0x14e4 => Self::Broadcom,
            0x1d87 => Self::Rockchip,
            0x19e5 => Self::Huawei,
            0x1414 => Self::Microsoft,
            _ => Self::Other,
        }
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nvidia => "NVIDIA",
            Self::Amd => "AMD",
            Self::Intel => "Intel",
            Self::Apple => "Apple",
            Self::Arm => "ARM",
            Self::Qualcomm => "Qualcomm",
            Self::Broadcom => "Broadcom",
            Self::Rockchip => "Rockchip",
            Self::Huawei => "Huawei",
            Self::Microsoft => "Microsoft",
            Self::Other => "unknown",
        }
    }
}

/// A device on the bus.
#[derive(Debug)]
pub(crate) struct Device {
    /// Its address, such as `0000:01:00.0`.
    pub(crate) address: String,
    pub(crate) folder: String,
    /// Class, subclass and interface in three bytes.
    pub(crate) class: u32,
    pub(crate) vendor: u32,
    pub(crate) device: u32,
    /// The kernel's driver that is bound to it.
    pub(crate) driver: Option<String>,
}

/// All devices whose class is known.
pub(crate) fn devices(root: &Root) -> impl Iterator<Item = Device> {
    root.names(FOLDER).into_iter().filter_map(|address| {
        let folder = format!("{FOLDER}/{address}");
        Some(Device {
            class: root.hex(&format!("{folder}/class"))?,
            vendor: root.hex(&format!("{folder}/vendor"))?,
            device: root.hex(&format!("{folder}/device"))?,
            driver: root.link_name(&format!("{folder}/driver")),
            address,
            folder,
        })
    })
}
