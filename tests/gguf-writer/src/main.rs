//! Writes the test files to disk, for use by hand.
//!
//! `gguf-writer tiny OUT [SEED]` writes the tiny model, `gguf-writer projector OUT` a projector of images for it, and `gguf-writer qwen3 OUT` the one of Qwen3-0.6B's shape (1.2 GB);
//! `gguf-writer shapes DIR` writes models of several architectures and quantizations (2 GB in all);
//! `gguf-writer hostile DIR` writes the hostile files into a new folder, and `gguf-writer foreign DIR` the models in Ollama's own layouts
//! beside the same ones in llama.cpp's.

#![expect(
    clippy::disallowed_methods,
    reason = "a program for use by hand, on files that matter to nobody"
)]

use std::fs;
use std::io::{BufWriter, Error, Result};
use std::path::Path;

use gguf_writer::shapes::{self, Architecture, Quantization};
use gguf_writer::{foreign, hostile, qwen3, tiny, vision};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["tiny", out] => fs::write(out, tiny::llama(0)),
        ["tiny", out, seed] => {
            let seed = seed.parse().map_err(Error::other)?;
            fs::write(out, tiny::llama(seed))
        }
        ["projector", out] => fs::write(out, vision::projector(0, vision::Kind::Causal)),
        ["qwen3", out] => qwen3::write(0, &mut BufWriter::new(fs::File::create(out)?)),
        ["shapes", dir] => write_shapes(Path::new(dir)),
        ["hostile", dir] => write_hostile(Path::new(dir)),
        ["foreign", dir] => write_foreign(Path::new(dir)),
        _ => Err(Error::other(
            "usage: gguf-writer tiny OUT [SEED] | projector OUT | qwen3 OUT | shapes DIR | hostile DIR | foreign DIR",
        )),
    }
}

/// Each architecture in each quantization.
fn write_shapes(dir: &Path) -> Result<()> {
    fs::create_dir(dir)?;
    for architecture in Architecture::ALL {
        for quantization in Quantization::ALL {
            let name = format!("{}-{}.gguf", architecture.name(), quantization.name());
            let mut out = BufWriter::new(fs::File::create(dir.join(name))?);
            shapes::write(architecture, quantization, &mut out)?;
        }
    }
    Ok(())
}

fn write_hostile(dir: &Path) -> Result<()> {
    fs::create_dir(dir)?;
    for hostile in hostile::corpus() {
        let name = format!("{}-{}.gguf", hostile.rule.to_lowercase(), hostile.name);
        fs::write(dir.join(name), hostile.bytes)?;
    }
    Ok(())
}

fn write_foreign(dir: &Path) -> Result<()> {
    fs::create_dir(dir)?;
    for pair in foreign::pairs(0) {
        let files = [
            ("ollama", Some(pair.ollama)),
            ("weights", pair.weights),
            ("projector", pair.projector),
        ];
        for (kind, file) in files {
            if let Some(file) = file {
                let name = format!("{}.{kind}.gguf", pair.name);
                fs::write(dir.join(name), file.to_bytes())?;
            }
        }
    }
    Ok(())
}
