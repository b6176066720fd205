//! `cargo run -p gguf-writer -- hostile corpus`, then `cargo +nightly fuzz run gguf corpus` in the folder above.
#![no_main]

#[path = "../body.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::read_anything(bytes));
