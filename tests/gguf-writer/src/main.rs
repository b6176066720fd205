//! Writes the test files to disk, for use by hand.
//!
//! `gguf-writer tiny OUT` writes the tiny model; `gguf-writer hostile DIR` writes the hostile files.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["tiny", out] => fs::write(out, gguf_writer::tiny::llama(0)),
        _ => Err(io::Error::other("usage: gguf-writer tiny OUT | hostile DIR")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
