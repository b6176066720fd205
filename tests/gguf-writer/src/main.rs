//! Writes the test files to disk, for use by hand.
//!
//! `gguf-writer tiny OUT` writes the tiny model; `gguf-writer hostile DIR` writes the hostile files into a new folder.

#![expect(
    clippy::disallowed_methods,
    reason = "a program for use by hand, on files that matter to nobody"
)]

use std::fs;
use std::io::{Error, Result};
use std::path::Path;

use gguf_writer::{hostile, tiny};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["tiny", out] => fs::write(out, tiny::llama(0)),
        ["hostile", dir] => write_hostile(Path::new(dir)),
        _ => Err(Error::other("usage: gguf-writer tiny OUT | hostile DIR")),
    }
}

fn write_hostile(dir: &Path) -> Result<()> {
    fs::create_dir(dir)?;
    for hostile in hostile::corpus() {
        let name = format!("{}-{}.gguf", hostile.rule.to_lowercase(), hostile.name);
        fs::write(dir.join(name), hostile.bytes)?;
    }
    Ok(())
}
