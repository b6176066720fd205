//! Kernels that llama.cpp's CPU backend computes with where it has none as fast, and how that backend clears memory.
//!
//! They are hooked into the backend's module, which has no interface for it: `docs/kernels.md` says where, what they compute, and
//! what to look at when llama.cpp changes.
#![expect(
    unsafe_code,
    reason = "this crate is the door to kernels in C++, and nothing else"
)]

mod measure;
pub mod products;

use std::{
    ffi::{CStr, c_char, c_int},
    fmt, ptr,
};

// Its libraries have the functions that the shim is linked with.
use llama_cpp_sys_2 as _;

/// Functions of `shim/kernels.h` and `shim/memory.h`; what they promise is written there.
mod shim {
    use super::{c_char, c_int};

    unsafe extern "C" {
        pub(super) fn slm_add_kernels(
            avx2_only: c_int,
            repack: *const c_char,
            missing: *mut *const c_char,
        ) -> c_int;
        pub(super) fn slm_choose_product(
            kind: c_int,
            gemv: c_int,
            gemm: c_int,
            repack: c_int,
            amx: c_int,
        );
        pub(super) fn slm_asks_kernels() -> c_int;
        pub(super) fn slm_remove_kernels();
        pub(super) fn slm_clear_lazily();
    }
}

pub use measure::{bandwidth, products as measure_products};
use products::{Choice, Way, Weights};

/// The buffer type that weights are kept out of.
const REPACK: &CStr = c"CPU_REPACK";

/// Why llama.cpp's own kernels compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// There are none for this processor: they need `x86_64` with AVX2, FMA and F16C, and Linux.
    Processor,
    /// The CPU module lacks what they hook into, or has something else in its place.
    Module {
        /// What is missing.
        missing: String,
    },
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processor => f.write_str("there are none for this processor"),
            Self::Module { missing } => {
                write!(f, "this build of llama.cpp does not have {missing}")
            }
        }
    }
}

impl std::error::Error for Unavailable {}

/// Has the CPU module that is loaded compute with the kernels.
///
/// Call it before anything is computed, and before another thread runs.
///
/// # Errors
/// [`Unavailable`] says why nothing was changed: all operations are added and asked for, or none.
pub fn add() -> Result<(), Unavailable> {
    register(Level::Best, REPACK)?;
    if !are_asked() {
        remove();
        let missing = "a use of the added buffer type".into();
        return Err(Unavailable::Module { missing });
    }
    Ok(())
}

/// Has products computed as chosen. Weights that are loaded already stay as they are.
///
/// Call it before another thread runs. Without [`add`] it has no effect.
pub fn select(choices: &[Choice]) {
    for choice in choices {
        let ours = |way| c_int::from(way != Way::Plain);
        // What AMX does not take goes where it would go without AMX.
        let repack = match choice.few {
            Way::Repack => true,
            Way::Amx => choice.weights != Weights::Q4K,
            Way::Plain | Way::Ours => false,
        };
        let amx = choice.few == Way::Amx;
        // SAFETY: The function changes a table that is only read while something is computed, which the caller excludes.
        unsafe {
            shim::slm_choose_product(
                measure::type_of(choice.weights),
                ours(choice.few),
                ours(choice.many),
                c_int::from(repack),
                c_int::from(amx),
            );
        }
    }
}

/// Has buffers in main memory cleared by giving their pages back, so that a context takes memory only where it is used.
///
/// Call it before another thread runs, and before a model is loaded.
pub fn clear_lazily() {
    // SAFETY: The function sets a function pointer of ggml; the caller has started no thread that could read it.
    unsafe { shim::slm_clear_lazily() }
}

/// What of the processor the kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// All that helps.
    Best,
    /// Nothing that came after AVX2.
    #[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
    Avx2,
}

/// Registers the kernels. `repack` is the name of the buffer type that must be there.
fn register(level: Level, repack: &'static CStr) -> Result<(), Unavailable> {
    let mut missing = ptr::null();
    // SAFETY: The function changes lists that are only read while something is computed, which the caller excludes. It writes the
    // pointer if at all.
    let added = unsafe {
        shim::slm_add_kernels(
            c_int::from(level != Level::Best),
            repack.as_ptr(),
            &raw mut missing,
        )
    };
    match added {
        1 => Ok(()),
        0 => Err(Unavailable::Processor),
        _ => {
            // SAFETY: With this answer it is a constant text, or `repack`.
            let missing = unsafe { CStr::from_ptr(missing) };
            let missing = missing.to_string_lossy().into_owned();
            Err(Unavailable::Module { missing })
        }
    }
}

/// Whether the module asks for the kernels when it computes.
fn are_asked() -> bool {
    // SAFETY: The module is loaded, and nothing else is computed.
    unsafe { shim::slm_asks_kernels() != 0 }
}

/// Takes the kernels out again.
fn remove() {
    // SAFETY: The function changes lists that are only read while something is computed, which the caller of `add` excludes.
    unsafe { shim::slm_remove_kernels() }
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests;
