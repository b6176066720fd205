//! Measures products and memory in this process, see `shim/measure.h`.

use std::ffi::c_int;

use llama_cpp_sys_2 as sys;

use crate::products::{Time, Way, Weights};

/// `slm_time`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct RawTime {
    kind: i32,
    columns: i32,
    way: i32,
    nanoseconds: f32,
    spread: f32,
}

unsafe extern "C" {
    fn slm_measure_products(times: *mut RawTime, most: c_int) -> c_int;
    fn slm_measure_bandwidth(threads: c_int) -> f64;
}

/// More times than there are: types, numbers of columns and ways.
const MOST: usize = 128;

/// The number of a type in ggml.
pub(crate) fn type_of(weights: Weights) -> c_int {
    let number = match weights {
        Weights::Q4_0 => sys::GGML_TYPE_Q4_0,
        Weights::Q4K => sys::GGML_TYPE_Q4_K,
        Weights::Q6K => sys::GGML_TYPE_Q6_K,
        Weights::Q8_0 => sys::GGML_TYPE_Q8_0,
        Weights::F16 => sys::GGML_TYPE_F16,
    };
    c_int::try_from(number).expect("types of ggml have small numbers")
}

/// Computes products with one thread in all ways that this machine has, for about half a second. The CPU module is loaded, and nothing
/// else computes in this process. Empty when the machine is too busy to measure in three seconds.
pub fn products() -> Vec<Time> {
    let mut times = vec![RawTime::default(); MOST];
    // SAFETY: The buffer has room for so many times, and the function writes no more.
    let count = unsafe {
        slm_measure_products(
            times.as_mut_ptr(),
            c_int::try_from(times.len()).expect("the buffer is small"),
        )
    };
    times.truncate(usize::try_from(count).unwrap_or(0));
    times.iter().filter_map(time).collect()
}

fn time(raw: &RawTime) -> Option<Time> {
    Some(Time {
        weights: Weights::ALL
            .into_iter()
            .find(|weights| type_of(*weights) == raw.kind)?,
        columns: u32::try_from(raw.columns).ok()?,
        // In the order of `slm_way`.
        way: *Way::ALL.get(usize::try_from(raw.way).ok()?)?,
        nanoseconds: Some(raw.nanoseconds).filter(|it| it.is_finite() && *it > 0.0)?,
        spread: raw.spread,
    })
}

/// Bytes per second that so many threads together read from memory; `None` if there is too little memory to measure it.
pub fn bandwidth(threads: u32) -> Option<f64> {
    let threads = c_int::try_from(threads).unwrap_or(1).max(1);
    // SAFETY: The function takes a number and touches only its own memory.
    let measured = unsafe { slm_measure_bandwidth(threads) };
    (measured.is_finite() && measured > 0.0).then_some(measured)
}
