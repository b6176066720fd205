//! llama.cpp's backends: modules that are loaded at run time, of which the best for this processor is taken.

use std::path::Path;

use confine::Needs;
use llama_cpp_2::{
    LlamaBackendDevice, LlamaBackendDeviceType, list_llama_ggml_backend_devices,
    llama_backend::LlamaBackend,
};
use runner_protocol::Kernels;
use serde_json::{Value, json};

use crate::{
    error::Error,
    ffi,
    model::{
        kernels::{self, Switch},
        modules,
    },
    system::{fs, threads},
};

/// Name and version of the engine, for people.
pub(crate) fn engine() -> String {
    format!("llama.cpp {}", ffi::llama_version())
}

/// Loads the modules and starts llama.cpp, with the CPU module of this name, or the one that gives itself the best score.
///
/// Says besides whether slm's kernels compute.
///
/// # Errors
/// [`Error::Internal`] when no module can compute on this processor.
pub(crate) fn open(cpu: Option<&str>, switch: Switch) -> Result<(LlamaBackend, Kernels), Error> {
    modules::load(cpu)?;
    let kernels = kernels::add(switch);
    let backend = LlamaBackend::init().map_err(|error| Error::Internal(error.to_string()))?;
    Ok((backend, kernels))
}

/// The device that computes, for people: the first accelerator where layers go to one, else the processor.
pub(crate) fn device(offload: bool) -> String {
    let devices = list_llama_ggml_backend_devices();
    match devices
        .into_iter()
        .find(|device| offload && is_accelerator(device))
    {
        Some(device) => device.description,
        None => processor(),
    }
}

/// `CPU (zen4)`: the name of the module that was chosen says what it was built for.
fn processor() -> String {
    let maps = fs::kernel_file("/proc/self/maps").unwrap_or_default();
    variant(&maps).map_or_else(|| "CPU".into(), |variant| format!("CPU ({variant})"))
}

/// The processor variant among the files that are mapped into a process.
fn variant(maps: &str) -> Option<&str> {
    maps.lines()
        .find_map(|line| modules::variant(Path::new(line)))
}

/// Free bytes of all accelerators.
pub(crate) fn free_device_bytes() -> u64 {
    list_llama_ggml_backend_devices()
        .iter()
        .filter(|device| is_accelerator(device))
        .map(|device| device.memory_free as u64)
        .sum()
}

fn is_accelerator(device: &LlamaBackendDevice) -> bool {
    matches!(
        device.device_type,
        LlamaBackendDeviceType::Gpu | LlamaBackendDeviceType::IntegratedGpu
    )
}

/// What the backends go on needing when this process is confined.
pub(crate) fn needs() -> Needs {
    Needs {
        devices: list_llama_ggml_backend_devices().iter().any(is_accelerator),
        folders: modules::folder().into_iter().collect(),
    }
}

/// All devices. The process ends afterwards, so a broken driver harms no runner.
///
/// # Errors
/// See [`open`].
pub(crate) fn probe(switch: Switch) -> Result<Value, Error> {
    let (_backend, kernels) = open(None, switch)?;
    let devices: Vec<Value> = list_llama_ggml_backend_devices()
        .iter()
        .map(describe)
        .collect();
    Ok(json!({
        "engine": engine(),
        "processor": processor(),
        "kernels": kernels.name(),
        "threads": threads::best(),
        "devices": devices,
    }))
}

fn describe(device: &LlamaBackendDevice) -> Value {
    let kind = match device.device_type {
        LlamaBackendDeviceType::Cpu => "cpu",
        LlamaBackendDeviceType::Accelerator => "accelerator",
        LlamaBackendDeviceType::Gpu => "gpu",
        LlamaBackendDeviceType::IntegratedGpu => "integrated-gpu",
        LlamaBackendDeviceType::Unknown => "unknown",
    };
    json!({
        "name": device.name,
        "description": device.description,
        "backend": device.backend,
        "kind": kind,
        "memory_total": device.memory_total,
        "memory_free": device.memory_free,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variant_is_read_from_the_mapped_files() {
        let maps = "7f00-7f01 r-xp 0 fd:00 1 /usr/lib/libc.so.6\n7f02-7f03 r--p 0 fd:00 2   /opt/my models/lib/slm/libggml-cpu-zen4.so\n";
        assert_eq!(variant(maps), Some("zen4"));
        assert_eq!(
            variant("7f00-7f01 r-xp 0 fd:00 1 /usr/lib/libggml-base.so.0\n"),
            None
        );
    }
}
