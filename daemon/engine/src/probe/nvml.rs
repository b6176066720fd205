//! NVIDIA's management library (NVML): driver, and the memory of each card without CUDA.

use devices::{NvmlCard, NvmlReport};
use nvml_wrapper::{Nvml, error::NvmlError};
use serde_json::{Value, json};

/// Most cards that are asked.
const MAX_CARDS: u32 = 64;

/// What the library says. It is loaded here; the process may crash or hang.
pub(crate) fn report() -> Value {
    let report = ask().unwrap_or_else(|error| NvmlReport {
        fault: Some(error.to_string()),
        ..NvmlReport::default()
    });
    json!(report)
}

fn ask() -> Result<NvmlReport, NvmlError> {
    let nvml = Nvml::init()?;
    let cards = 0..nvml.device_count()?.min(MAX_CARDS);
    Ok(NvmlReport {
        fault: None,
        driver: nvml.sys_driver_version()?,
        // The number is 1000 times the major plus 10 times the minor version.
        cuda: nvml
            .sys_cuda_driver_version()
            .map(|version| format!("{}.{}", version / 1000, version % 1000 / 10))
            .unwrap_or_default(),
        cards: cards.filter_map(|index| card(&nvml, index).ok()).collect(),
    })
}

fn card(nvml: &Nvml, index: u32) -> Result<NvmlCard, NvmlError> {
    let device = nvml.device_by_index(index)?;
    // A card that shares main memory has no memory to tell.
    let memory = device.memory_info().ok();
    Ok(NvmlCard {
        name: device.name()?,
        bus: device.pci_info()?.bus_id,
        memory_total: memory.as_ref().map_or(0, |memory| memory.total),
        memory_free: memory.as_ref().map_or(0, |memory| memory.free),
    })
}
