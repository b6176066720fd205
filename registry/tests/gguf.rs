//! What the fuzzer does, done with every file that we have, in little memory.
//!
//! There is one test here, because memory is counted for the whole process.

#[path = "../fuzz/body.rs"]
mod body;

use gguf_writer::{hostile, small, tiny};

/// What reading any file may add to the memory of a process, in bytes.
const MOST: u64 = 64 << 20;

#[test]
fn every_file_is_read_in_little_memory() {
    let corpus = hostile::corpus();
    let good = [small::model(), small::big_endian(), tiny::llama(0)];
    let files = corpus.iter().map(|hostile| (hostile.name, &hostile.bytes));
    let files = files.chain(good.iter().map(|bytes| ("good", bytes)));
    for (name, bytes) in files {
        let before = forget_peak();
        body::read_anything(bytes);
        let rise = peak().saturating_sub(before);
        assert!(rise < MOST, "{name} took {rise} bytes");
    }
}

/// Makes the greatest use of memory so far the present one, and returns it.
fn forget_peak() -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux lets a process do this to itself");
    peak()
}

/// The greatest use of memory so far, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has this file");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: Option<u64> = kibibytes.and_then(|text| text.trim().parse().ok());
    kibibytes.expect("the line has a number") * 1024
}
