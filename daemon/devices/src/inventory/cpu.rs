//! The processor, which every model can be computed on.

use super::{Device, DeviceKind, DeviceMemory, Obstacle, obstacle};
use crate::report::Report;

pub(super) fn device(report: &Report) -> Device {
    let memory = report.machine.memory.map(|memory| DeviceMemory {
        total: memory.usable(),
        free: memory.free(),
        shared: true,
    });
    let fault = report.fault.as_deref().map(obstacle::no_cpu_module);
    let name = &report.machine.processor.model;
    Device {
        id: "CPU".to_owned(),
        kind: DeviceKind::Cpu,
        name: match name.is_empty() {
            true => "processor".to_owned(),
            false => name.clone(),
        },
        driver: None,
        backend: fault.is_none().then(|| "cpu".to_owned()),
        memory,
        obstacle: fault.or_else(|| slow(report)),
    }
}

/// Without AVX2 or its like, even a small model answers slowly.
fn slow(report: &Report) -> Option<Obstacle> {
    let processor = &report.machine.processor;
    let slow = processor.architecture == "x86_64"
        && !processor.instructions.is_empty()
        && !processor.has("avx2");
    slow.then(obstacle::no_avx2)
}
