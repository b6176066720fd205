//! Everything that the compiler cannot check: calls into our C++ shim, and the few calls into llama.cpp that `llama-cpp-2` has no safe function for.
#![expect(
    unsafe_code,
    reason = "this is the one module of the project that talks to native code itself"
)]

pub(crate) mod chat;
pub(crate) mod context;
pub(crate) mod log;
mod memory_report;
pub(crate) mod modules;
pub(crate) mod parts;
pub(crate) mod pooled;
pub(crate) mod vision;

use std::ffi::{CStr, c_int};

/// Functions of `shim/chat.h` for the process; what they promise is written there.
mod shim {
    use super::c_int;

    unsafe extern "C" {
        pub(super) fn slm_prepare_process();
        pub(super) fn slm_leave(code: c_int) -> !;
    }
}

/// Settings that hold for the whole process. Call it before any other thread runs.
pub(crate) fn prepare_process() {
    // SAFETY: The function sets an environment variable and an integer; the caller has started no thread that could read them.
    unsafe { shim::slm_prepare_process() }
}

/// Ends the process at once: the engine thread may be deep inside llama.cpp, whose global objects must not be destroyed under it.
pub(crate) fn leave(code: u8) -> ! {
    // SAFETY: The function takes any number and does not return.
    unsafe { shim::slm_leave(c_int::from(code)) }
}

/// Version of llama.cpp, such as `0.6.0`.
pub(crate) fn llama_version() -> String {
    // SAFETY: The function returns a constant of the library.
    unsafe { CStr::from_ptr(llama_cpp_sys_2::llama_version()) }
        .to_string_lossy()
        .into_owned()
}
