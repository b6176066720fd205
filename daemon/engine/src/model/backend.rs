//! llama.cpp's backends: modules that are loaded at run time, of which the best for this processor is taken.

use std::{path::Path, sync::OnceLock};

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
        accelerators,
        kernels::{self, Switch},
        modules,
    },
    system::{fs, threads},
};

/// Name and version of the engine, for people.
pub(crate) fn engine() -> String {
    format!("llama.cpp {}", ffi::llama_version())
}

/// The names of the devices that this process offloads to; unset for all that llama.cpp would take.
///
/// llama.cpp's table of devices belongs to the whole process too.
static SELECTED: OnceLock<Vec<String>> = OnceLock::new();

/// Loads the modules of these accelerators and a CPU module, the one of this name or the one with the best score, and starts llama.cpp.
///
/// Says besides whether slm's kernels compute.
///
/// # Errors
/// [`Error::Internal`] when no module can compute on this processor; [`Error::Unavailable`] names an accelerator's backend.
pub(crate) fn open(
    cpu: Option<&str>,
    backends: &[&str],
    switch: Switch,
) -> Result<(LlamaBackend, Kernels), Error> {
    for backend in backends {
        accelerators::load(backend)?;
    }
    modules::load(cpu)?;
    let kernels = kernels::add(switch);
    let backend = LlamaBackend::init().map_err(|error| Error::Internal(error.to_string()))?;
    Ok((backend, kernels))
}

/// Selects the devices that models of this process are offloaded to, by their names, such as `Vulkan0`.
///
/// # Errors
/// [`Error::Invalid`] for a name that no loaded backend has.
pub(crate) fn select(names: &[&str]) -> Result<(), Error> {
    let there: Vec<String> = offloadable().map(|device| device.name).collect();
    if let Some(unknown) = names
        .iter()
        .find(|name| !there.iter().any(|it| it == *name))
    {
        return Err(Error::Invalid(format!(
            "there is no device {unknown}; the loaded backends have: {}",
            match there.is_empty() {
                true => "none".to_owned(),
                false => there.join(", "),
            }
        )));
    }
    // A process selects once, at its start.
    let _ = SELECTED.set(names.iter().map(|name| (*name).to_owned()).collect());
    Ok(())
}

/// The devices that a model is offloaded to, as indices of ggml's table; `None` leaves the choice to llama.cpp.
///
/// Without offload the list is empty, because some backends take over what the CPU computes while they are in the list.
pub(crate) fn devices(offload: bool) -> Option<Vec<usize>> {
    match (offload, SELECTED.get()) {
        (false, _) => Some(Vec::new()),
        (true, None) => None,
        (true, Some(_)) => Some(offloadable().map(|device| device.index).collect()),
    }
}

/// The device that computes, for people: the first accelerator where layers go to one, else the processor.
pub(crate) fn device(offload: bool) -> String {
    match offloadable().next().filter(|_| offload) {
        Some(device) => device.description,
        None => processor(),
    }
}

/// ggml's name of the memory for what goes with the layers: the first accelerator where some are offloaded.
pub(crate) fn memory_device(offload: bool) -> String {
    match offloadable().next().filter(|_| offload) {
        Some(device) => device.name,
        None => "CPU".to_owned(),
    }
}

/// The selected accelerators.
fn offloadable() -> impl Iterator<Item = LlamaBackendDevice> {
    let selected = |device: &LlamaBackendDevice| match SELECTED.get() {
        None => true,
        Some(names) => names.contains(&device.name),
    };
    list_llama_ggml_backend_devices()
        .into_iter()
        .filter(move |device| is_accelerator(device) && selected(device))
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

/// ggml's name of OpenVINO's backend.
const OPENVINO: &str = "OPENVINO";

/// Refuses a model that OpenVINO cannot compute as a whole: with the graph cut into parts its results are wrong.
///
/// # Errors
/// [`Error::Unsupported`].
pub(crate) fn check_splits(splits: i32, offload: bool) -> Result<(), Error> {
    let openvino = offload && offloadable().any(|device| device.backend == OPENVINO);
    if openvino && splits > 1 {
        return Err(Error::Unsupported(format!(
            "OpenVINO has no operation for a part of it, so its graph falls into {splits} parts; use another quantization, such as Q4_0, Q4_1, Q8_0 or F16, or another backend"
        )));
    }
    Ok(())
}

/// Free bytes of the selected accelerators.
pub(crate) fn free_device_bytes() -> u64 {
    offloadable().map(|device| device.memory_free as u64).sum()
}

fn is_accelerator(device: &LlamaBackendDevice) -> bool {
    matches!(
        device.device_type,
        LlamaBackendDeviceType::Gpu | LlamaBackendDeviceType::IntegratedGpu
    )
}

/// What these backends go on needing when this process is confined.
pub(crate) fn needs(backends: &[&str]) -> Needs {
    Needs {
        backends: backends.iter().map(|name| (*name).to_owned()).collect(),
        folders: modules::folder().into_iter().collect(),
    }
}

/// The accelerators of the loaded backends.
pub(crate) fn accelerators() -> Vec<Value> {
    list_llama_ggml_backend_devices()
        .iter()
        .filter(|device| is_accelerator(device))
        .map(describe)
        .collect()
}

/// The processor, as the CPU module sees it.
///
/// # Errors
/// See [`open`].
pub(crate) fn probe(switch: Switch) -> Result<Value, Error> {
    let (_backend, kernels) = open(None, &[], switch)?;
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
        "bus": ffi::modules::bus_address(device.index),
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
