//! Loading a model whose weights are cut into several files, or whose experts are placed.
//!
//! `llama-cpp-2` takes one path, and llama.cpp then looks for files of certain names beside it; descriptors have no such names.
//! It also moves the experts of all layers or of none.

use std::{
    ffi::{CStr, CString, c_char, c_void},
    mem,
    path::PathBuf,
    ptr::{self, NonNull},
};

use llama_cpp_2::{llama_backend::LlamaBackend, model::LlamaModel};
use llama_cpp_sys_2 as sys;

/// How the weights are loaded.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The files are mapped and not read.
    pub(crate) mmap: bool,
    /// Device for a model that lies on one GPU.
    pub(crate) main_gpu: i32,
    /// Layers on a GPU; a negative number is as many as fit.
    pub(crate) gpu_layers: i32,
    /// Devices to offload to, as indices of ggml's table; `None` leaves the choice to llama.cpp.
    pub(crate) devices: Option<Vec<usize>>,
    /// So many of the first layers leave their experts in main memory.
    pub(crate) host_experts: u32,
}

/// What hears the share that is loaded.
type Progress<'a> = &'a mut dyn FnMut(f32);

/// Loads the files, the first part first. `None` when llama.cpp cannot; its log says why.
pub(crate) fn load(
    _: &LlamaBackend,
    files: &[PathBuf],
    settings: &Settings,
    mut progress: Progress<'_>,
) -> Option<LlamaModel> {
    let paths: Vec<CString> = files
        .iter()
        .map(|path| CString::new(path.as_os_str().as_encoded_bytes()).ok())
        .collect::<Option<_>>()?;
    let mut pointers: Vec<*const c_char> = paths.iter().map(|path| path.as_ptr()).collect();
    // SAFETY: The function returns a value.
    let mut params = unsafe { sys::llama_model_default_params() };
    params.main_gpu = settings.main_gpu;
    if settings.gpu_layers >= 0 {
        params.n_gpu_layers = settings.gpu_layers;
    }
    let mut devices = settings.devices.as_ref().map(|devices| devices_of(devices));
    if let Some(devices) = &mut devices {
        params.devices = devices.as_mut_ptr();
    }
    params.load_mode = match settings.mmap {
        true => sys::LLAMA_LOAD_MODE_MMAP,
        false => sys::LLAMA_LOAD_MODE_NONE,
    };
    let pattern = experts_of(settings.host_experts);
    let overrides = pattern.as_deref().map(on_host);
    if let Some(overrides) = &overrides {
        params.tensor_buft_overrides = overrides.as_ptr();
    }
    params.progress_callback = Some(on_progress);
    params.progress_callback_user_data = ptr::from_mut(&mut progress).cast();
    // SAFETY: The paths are terminated texts that live during the call, as do the list of devices, the placed experts and what hears the progress; the backend is there.
    let model =
        unsafe { sys::llama_model_load_from_splits(pointers.as_mut_ptr(), pointers.len(), params) };
    let model = NonNull::new(model)?;
    // SAFETY: A `LlamaModel` is transparently this pointer, see `raw_model` in `context.rs`, and nobody else owns it.
    Some(unsafe { mem::transmute::<NonNull<sys::llama_model>, LlamaModel>(model) })
}

/// A regular expression for the experts of the first layers, as `--n-cpu-moe` of llama.cpp's `common/arg.cpp`.
fn experts_of(layers: u32) -> Option<CString> {
    // llama.cpp has at most so many layers.
    let numbers: Vec<String> = (0..layers.min(512))
        .map(|layer| layer.to_string())
        .collect();
    let layers = (!numbers.is_empty()).then(|| numbers.join("|"))?;
    CString::new(format!(
        r"blk\.({layers})\.ffn_(up|down|gate|gate_up)_(ch|)exps"
    ))
    .ok()
}

/// Tensors of this name stay in main memory; and the entry that ends llama.cpp's list.
fn on_host(pattern: &CStr) -> [sys::llama_model_tensor_buft_override; 2] {
    // SAFETY: The function returns a constant of the library.
    let host = unsafe { sys::ggml_backend_cpu_buffer_type() };
    [(pattern.as_ptr(), host), (ptr::null(), ptr::null_mut())]
        .map(|(pattern, buft)| sys::llama_model_tensor_buft_override { pattern, buft })
}

/// The devices of these indices, and the null that ends llama.cpp's list.
fn devices_of(indices: &[usize]) -> Vec<sys::ggml_backend_dev_t> {
    // SAFETY: The function returns a number.
    let there = unsafe { sys::ggml_backend_dev_count() };
    let known = indices.iter().filter(|index| **index < there);
    // SAFETY: The index is below the number of devices, which live as long as the process.
    let devices = known.map(|index| unsafe { sys::ggml_backend_dev_get(*index) });
    devices.chain([ptr::null_mut()]).collect()
}

unsafe extern "C" fn on_progress(share: f32, listener: *mut c_void) -> bool {
    // SAFETY: It is the listener that `load` lent for the time of its call, and llama.cpp calls from the same thread.
    let progress = unsafe { &mut *listener.cast::<Progress<'_>>() };
    progress(share);
    true
}
