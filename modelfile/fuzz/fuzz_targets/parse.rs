//! `cargo +nightly fuzz run parse ../tests/corpus` in the folder above.
#![no_main]

#[path = "../body.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::parse_anything(bytes));
