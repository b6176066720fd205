//! Backend modules: their scores, their loading, and whether the CPU module computes what it should; see `shim/check.h`.

use std::{
    ffi::{CStr, CString, c_char, c_int},
    os::unix::ffi::OsStrExt,
    path::Path,
};

unsafe extern "C" {
    fn slm_check_cpu(failed: *mut c_char, size: usize) -> c_int;
    fn slm_module_score(path: *const c_char) -> c_int;
}

/// Longest name of an operation that [`check`] reports, in bytes.
const NAME_BYTES: usize = 128;

/// The score that a module gives itself on this processor; `None` when it cannot run here or is no module.
pub(crate) fn score(path: &Path) -> Option<c_int> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: The path is terminated and lives during the call. The file is one of ours, beside the program.
    let score = unsafe { slm_module_score(path.as_ptr()) };
    (score > 0).then_some(score)
}

/// Loads a module; false when it cannot be loaded or cannot run here.
pub(crate) fn load(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: The path is terminated and lives during the call. The file is one of ours, beside the program.
    !unsafe { llama_cpp_sys_2::ggml_backend_load(path.as_ptr()) }.is_null()
}

/// The address of a device on its bus, such as `0000:01:00.0`, if its backend knows it; by the index in ggml's table.
pub(crate) fn bus_address(index: usize) -> Option<String> {
    // SAFETY: The functions return numbers and plain values; the index is checked before it is used, and the text that a device names
    // lives as long as the device, which is never removed.
    unsafe {
        if index >= llama_cpp_sys_2::ggml_backend_dev_count() {
            return None;
        }
        let device = llama_cpp_sys_2::ggml_backend_dev_get(index);
        let mut properties = std::mem::zeroed();
        llama_cpp_sys_2::ggml_backend_dev_get_props(device, &raw mut properties);
        let id = properties.device_id;
        (!id.is_null()).then(|| CStr::from_ptr(id).to_string_lossy().into_owned())
    }
}

/// Has the loaded CPU module compute, and compares. The process ends when the module crashes.
///
/// # Errors
/// Names the operation that is wrong.
pub(crate) fn check() -> Result<u32, String> {
    let mut failed = vec![0_u8; NAME_BYTES];
    // SAFETY: The buffer is writable and as long as is said; the function ends the text within it.
    let compared = unsafe { slm_check_cpu(failed.as_mut_ptr().cast(), failed.len()) };
    u32::try_from(compared).map_err(|_| {
        let text = failed.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    })
}
