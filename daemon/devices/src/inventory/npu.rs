//! NPUs: Intel's is reached through OpenVINO, and llama.cpp has no backend for most others.

use super::{Device, DeviceKind, Found, Obstacle, gpu::closed, obstacle, used};
use crate::npu::Npu;
use crate::pci::Vendor;
use crate::report::Report;

pub(super) fn device(report: &Report, npu: &Npu, found: &mut Found<'_>) -> Device {
    let backend = backend(npu);
    let reached = found.by(|module, device| {
        let text = format!("{} {}", device.name, device.description).to_uppercase();
        Some(module.backend.as_str()) == backend && text.contains("NPU")
    });
    let driver = npu.driver.as_ref().map(|driver| match &npu.firmware {
        Some(firmware) => format!("{driver}, firmware {firmware}"),
        None => driver.clone(),
    });
    match reached {
        Some((module, device)) => Device {
            kind: DeviceKind::Npu,
            driver,
            ..used(module, device)
        },
        None => Device {
            id: npu.id.clone(),
            kind: DeviceKind::Npu,
            name: npu.name.clone(),
            driver,
            backend: None,
            memory: None,
            obstacle: Some(obstacle(report, npu, backend)),
        },
    }
}

/// The backend of llama.cpp for it.
fn backend(npu: &Npu) -> Option<&'static str> {
    match (npu.vendor, npu.needs_driver.as_deref()) {
        (Vendor::Intel, Some("intel_vpu")) => Some("openvino"),
        (Vendor::Huawei, _) => Some("cann"),
        _ => None,
    }
}

fn obstacle(report: &Report, npu: &Npu, backend: Option<&str>) -> Obstacle {
    let Some(backend) = backend else {
        return match npu.vendor {
            Vendor::Apple => obstacle::only_core_ml(),
            _ => obstacle::no_backend("this NPU"),
        };
    };
    if npu.driver.is_none() {
        return obstacle::no_npu_driver(npu.needs_driver.as_deref().unwrap_or_default());
    }
    if let Some(obstacle) = closed(report, &npu.nodes) {
        return obstacle;
    }
    match report
        .backends
        .iter()
        .find(|module| module.backend == backend)
    {
        None => obstacle::no_module(backend),
        Some(module) => match &module.fault {
            Some(fault) => obstacle::module_fault(backend, fault, npu.vendor),
            None => obstacle::not_found(backend, npu.vendor),
        },
    }
}
