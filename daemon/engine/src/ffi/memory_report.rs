//! The bytes that a model and its context take, by device.

use std::ffi::CStr;

use llama_cpp_sys_2 as sys;
use runner_protocol::{MemoryKind, MemoryPart};

/// More devices than one process computes on.
const MOST_DEVICES: usize = 32;

/// `slm_device_bytes` in `shim/memory_report.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct DeviceBytes {
    device: [std::ffi::c_char; 64],
    mapped: u64,
    weights: u64,
    cache: u64,
    compute: u64,
}

unsafe extern "C" {
    fn slm_memory_of(
        context: *const sys::llama_context,
        devices: *mut DeviceBytes,
        most: usize,
    ) -> usize;
}

/// The parts of a context and its model; none when llama.cpp cannot tell.
///
/// # Safety
/// The context is alive.
pub(super) unsafe fn parts(context: *const sys::llama_context) -> Vec<MemoryPart> {
    let mut devices = [DeviceBytes {
        device: [0; 64],
        mapped: 0,
        weights: 0,
        cache: 0,
        compute: 0,
    }; MOST_DEVICES];
    // SAFETY: The caller keeps the context alive, and the array has room for so many; the function catches what is thrown.
    let count = unsafe { slm_memory_of(context, devices.as_mut_ptr(), MOST_DEVICES) };
    let devices = devices.iter().take(count);
    devices.flat_map(DeviceBytes::parts).collect()
}

impl DeviceBytes {
    fn parts(&self) -> Vec<MemoryPart> {
        // SAFETY: The shim terminates the name within the array.
        let name = unsafe { CStr::from_ptr(self.device.as_ptr()) };
        let device = name.to_string_lossy().into_owned();
        let kinds = [
            (MemoryKind::MappedWeights, self.mapped),
            (MemoryKind::Weights, self.weights),
            (MemoryKind::KvCache, self.cache),
            (MemoryKind::Compute, self.compute),
        ];
        let parts = kinds.into_iter().filter(|(_, bytes)| *bytes > 0);
        let part = |(kind, bytes)| MemoryPart {
            kind,
            device: device.clone(),
            bytes,
        };
        parts.map(part).collect()
    }
}
