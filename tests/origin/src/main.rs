//! Serves models on loopback until it is killed, for experiments and benchmarks.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program of tests, for people and scripts"
)]

use origin::{Lie, Origin, layer, manifest, noise};

const USAGE: &str = "\
Usage: origin [--port N] [--layers N] [--size MIB] [--rate MIB_PER_S] FILE.gguf
       origin --hash FILE ...

Serves FILE.gguf as the model of library/notes:latest, with N layers of random bytes beside it, and as notes-Q4_K_M.gguf in the
repository acme/notes of a hub. --rate bounds what each connection gets. The address is the first line on standard output;
/-/sent tells how many bytes were sent so far. --hash prints the SHA-256 of files, computed as slm computes it.";

#[derive(Default)]
struct Options {
    port: usize,
    layers: usize,
    size: usize,
    rate: usize,
    file: Option<String>,
}

fn read() -> Option<Options> {
    let mut options = Options {
        size: 512,
        ..Options::default()
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let slot = match word.as_str() {
            "--port" => &mut options.port,
            "--layers" => &mut options.layers,
            "--size" => &mut options.size,
            "--rate" => &mut options.rate,
            _ if word.starts_with('-') => return None,
            _ => {
                options.file = Some(word);
                continue;
            }
        };
        *slot = words.next()?.parse().ok()?;
    }
    options.file.is_some().then_some(options)
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, files @ ..] = words.as_slice()
        && first == "--hash"
    {
        return hash(files);
    }
    let Some(options) = read() else {
        eprintln!("{USAGE}");
        return 2.into();
    };
    let path = options.file.unwrap_or_default();
    let weights = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("cannot read {path}: {error}");
            return 1.into();
        }
    };
    let port = u16::try_from(options.port).unwrap_or(0);
    let origin = Origin::start_at(port).await;
    if options.rate > 0 {
        let piece = 64 << 10;
        let pause = piece * 1000 / (options.rate << 20);
        origin.lie("/blobs/", usize::MAX, Lie::Trickle(piece, pause as u64));
    }
    let config = r#"{"model_format":"gguf"}"#;
    let mut layers = vec![layer("model", &weights)];
    origin.blob(weights.clone());
    origin.blob(config);
    for number in 0..options.layers {
        let bytes = noise(options.size << 20, 2 * number as u64 + 1);
        layers.push(layer("tensor", &bytes));
        origin.blob(bytes);
    }
    let manifest = manifest(config.as_bytes(), &layers);
    origin.manifest("library/notes:latest", manifest);
    origin.hub_file("acme/notes", "notes-Q4_K_M.gguf", weights.clone());
    origin.file("/notes.gguf", weights);
    println!("{}", origin.url());
    std::future::pending::<()>().await;
    0.into()
}

/// Prints the SHA-256 of files.
fn hash(files: &[String]) -> std::process::ExitCode {
    use sha2::Digest as _;
    for path in files {
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        let done = std::fs::File::open(path).and_then(|mut file| {
            loop {
                match std::io::Read::read(&mut file, &mut buffer)? {
                    0 => return Ok(()),
                    count => hasher.update(&buffer[..count]),
                }
            }
        });
        if let Err(error) = done {
            eprintln!("cannot read {path}: {error}");
            return 1.into();
        }
        let hex: String = hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        println!("{hex}  {path}");
    }
    0.into()
}
