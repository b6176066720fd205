//! NPUs: the Linux kernel's accelerator devices, and chips that are there without a driver.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::accelerator::Node;
use crate::pci::{self, Vendor};
use crate::root::Root;

/// An NPU, as the system sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Npu {
    /// Its PCI address, or the name of the device on a chip.
    pub id: String,
    /// Its maker.
    pub vendor: Vendor,
    /// Its name.
    pub name: String,
    /// The driver of the kernel; absent if none is bound to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The driver that it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_driver: Option<String>,
    /// The version of its firmware, if the driver tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// The device files that libraries open.
    pub nodes: Vec<Node>,
}

/// Drivers of NPUs with the maker and name of what they drive.
const DRIVERS: [(&str, Vendor, &str); 9] = [
    ("intel_vpu", Vendor::Intel, "Intel NPU"),
    ("amdxdna", Vendor::Amd, "AMD XDNA NPU"),
    ("qaic", Vendor::Qualcomm, "Qualcomm Cloud AI 100"),
    ("habanalabs", Vendor::Intel, "Intel Gaudi"),
    ("rocket", Vendor::Rockchip, "Rockchip NPU"),
    ("RKNPU", Vendor::Rockchip, "Rockchip NPU"),
    ("ethosu", Vendor::Arm, "ARM Ethos-U"),
    ("ethos-u", Vendor::Arm, "ARM Ethos-U"),
    ("davinci", Vendor::Huawei, "Huawei Ascend"),
];

/// NPUs on the PCI bus: vendor, device and driver. Sources: `pci_device_id` tables of the kernel's drivers in `drivers/accel`.
const ON_PCI: [(u32, u32, &str); 11] = [
    (0x8086, 0x7d1d, "intel_vpu"), // Meteor Lake
    (0x8086, 0xad1d, "intel_vpu"), // Arrow Lake
    (0x8086, 0x643e, "intel_vpu"), // Lunar Lake
    (0x8086, 0xb03e, "intel_vpu"), // Panther Lake
    (0x8086, 0xfd3e, "intel_vpu"), // Wildcat Lake
    (0x1022, 0x1502, "amdxdna"),   // Phoenix, Hawk Point
    (0x1022, 0x17f0, "amdxdna"),   // Strix, Krackan
    (0x17cb, 0xa080, "qaic"),
    (0x17cb, 0xa100, "qaic"),
    (0x1da3, 0x1020, "habanalabs"),
    (0x19e5, 0xd802, "davinci"),
];

/// Chips with an NPU on no bus, by what the device tree calls them.
const ON_CHIP: [(&str, &str); 5] = [
    ("rockchip,rk3588", "rocket"),
    ("rockchip,rk3576", "RKNPU"),
    ("rockchip,rk3568", "RKNPU"),
    ("rockchip,rk3566", "RKNPU"),
    ("rockchip,rk3562", "RKNPU"),
];

/// All NPUs.
pub(crate) fn read(root: &Root) -> Vec<Npu> {
    let mut found = accelerators(root);
    let known: BTreeSet<String> = found.iter().map(|npu| npu.id.clone()).collect();
    found.extend(pci::devices(root).filter_map(|device| {
        let id = (device.vendor, device.device);
        let (.., driver) = ON_PCI
            .iter()
            .find(|(vendor, device, _)| (*vendor, *device) == id)?;
        (!known.contains(&device.address)).then(|| named(driver, device.address, device.driver))
    }));
    if found.is_empty() {
        found.extend(rockchip(root));
        found.extend(apple(root));
    }
    found
}

/// The devices of the kernel's accelerator subsystem (`Documentation/accel/introduction.rst`).
fn accelerators(root: &Root) -> Vec<Npu> {
    let folder = "/sys/class/accel";
    let names = root.names(folder).into_iter().filter(|name| {
        name.strip_prefix("accel")
            .is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()))
    });
    names
        .map(|name| {
            let device = format!("{folder}/{name}/device");
            let driver = root.link_name(&format!("{device}/driver"));
            let id = root.link_name(&device).unwrap_or_else(|| name.clone());
            let mut npu = match driver.as_deref() {
                Some(driver) => named(driver, id, Some(driver.to_owned())),
                None => Npu {
                    id,
                    name: "accelerator".to_owned(),
                    ..Npu::default()
                },
            };
            if npu.vendor == Vendor::Other {
                let vendor = root.hex(&format!("{device}/vendor")).unwrap_or_default();
                npu.vendor = Vendor::of(vendor);
            }
            npu.firmware = root.value(&format!("{device}/fw_version"));
            npu.nodes
                .push(Node::look(root, format!("/dev/accel/{name}")));
            npu
        })
        .collect()
}

/// An NPU of the kind that this driver drives.
fn named(driver: &str, id: String, bound: Option<String>) -> Npu {
    let known = DRIVERS.iter().find(|(name, ..)| *name == driver);
    let (vendor, name) = known.map_or((Vendor::Other, "accelerator"), |(_, vendor, name)| {
        (*vendor, *name)
    });
    Npu {
        id,
        vendor,
        name: name.to_owned(),
        driver: bound,
        needs_driver: known.map(|(driver, ..)| (*driver).to_owned()),
        ..Npu::default()
    }
}

/// The NPU of a Rockchip chip. Rockchip's own driver is no accelerator device; it shows itself in debugfs and as a DRM device.
fn rockchip(root: &Root) -> Option<Npu> {
    let compatible = root.value("/proc/device-tree/compatible")?;
    let (_, driver) = ON_CHIP.iter().find(|(chip, _)| compatible.contains(chip))?;
    let theirs = root.value("/sys/module/rknpu/version").is_some()
        || root.exists("/sys/kernel/debug/rknpu")
        || root.exists("/sys/module/rknpu");
    let mut npu = named(driver, "npu".to_owned(), theirs.then(|| "RKNPU".to_owned()));
    npu.firmware = root.value("/sys/module/rknpu/version");
    Some(npu)
}

/// The Neural Engine of Apple silicon, which Linux has no driver for.
fn apple(root: &Root) -> Option<Npu> {
    let compatible = root.value("/proc/device-tree/compatible")?;
    compatible.contains("apple,arm-platform").then(|| Npu {
        id: "ane".to_owned(),
        vendor: Vendor::Apple,
        name: "Apple Neural Engine".to_owned(),
        ..Npu::default()
    })
}
