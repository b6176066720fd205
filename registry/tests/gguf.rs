//! What the fuzzer does, done with every file that we have, in little memory.
//!
//! There is one test here, because memory is counted for the whole process.

#[path = "../fuzz/body.rs"]
mod body;

use std::io::Cursor;

use gguf_writer::{hostile, small, tiny};
use registry::gguf::{self, Rule};

/// What reading any file may add to the memory of a process, in bytes.
const MOST: u64 = 64 << 20;

#[test]
fn every_file_is_read_in_little_memory() {
    // First, because what other files took and gave back would be used again unseen.
    let worst = worst();
    let before = forget_peak();
    let error = gguf::read(&mut Cursor::new(&worst), worst.len() as u64);
    let rise = peak().saturating_sub(before);
    let error = error.expect_err("tensors lie over each other");
    assert_eq!(error.rule(), Some(Rule::Spans), "read to its end: {error}");
    assert!(rise < MOST, "the worst file took {rise} bytes");

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

/// A file that takes as much as every limit allows: keys, texts, small lists, tokens and tensors.
///
/// It is written by hand into one piece of memory, so that no small pieces are left that reading could use unseen.
fn worst() -> Vec<u8> {
    const TENSORS: u64 = 65_536;
    let mut pairs = 0_u64;
    let mut bytes = Vec::with_capacity(128 << 20);
    bytes.extend(b"GGUF\x03\0\0\0");
    bytes.extend(TENSORS.to_le_bytes());
    let count_at = bytes.len();
    bytes.extend([0; 8]);
    let mut pair = |bytes: &mut Vec<u8>, key: &str, kind: u32| {
        pairs += 1;
        text(bytes, key);
        bytes.extend(kind.to_le_bytes());
    };
    let list = |bytes: &mut Vec<u8>, len: u64| {
        bytes.extend(STRING.to_le_bytes());
        bytes.extend(len.to_le_bytes());
    };
    for (key, value) in [
        ("general.architecture", "llama"),
        ("general.type", "adapter"),
    ] {
        pair(&mut bytes, key, STRING);
        text(&mut bytes, value);
    }
    pair(&mut bytes, "tokenizer.chat_template", STRING);
    text(&mut bytes, &"x".repeat(1 << 20));
    // A list of tokens as long as may be; each is another.
    pair(&mut bytes, "tokenizer.ggml.tokens", ARRAY);
    list(&mut bytes, 1 << 20);
    for number in 0..1_u32 << 20 {
        bytes.extend(4_u64.to_le_bytes());
        bytes.extend(number.to_le_bytes());
    }
    // Strings of one byte take the most for what they are charged.
    for number in 0..112 {
        pair(&mut bytes, &format!("list.{number}"), ARRAY);
        list(&mut bytes, 1024);
        for _ in 0..1024 {
            text(&mut bytes, "x");
        }
    }
    for number in 0..38_000 {
        pair(&mut bytes, &format!("key.{number:060}"), BYTE);
        bytes.push(0);
    }
    let counted = pairs.to_le_bytes();
    bytes[count_at..count_at + 8].copy_from_slice(&counted);
    for number in 0..TENSORS {
        text(&mut bytes, &format!("{number:063}"));
        bytes.extend(4_u32.to_le_bytes());
        for _ in 0..4 {
            bytes.extend(1_u64.to_le_bytes());
        }
        bytes.extend([0; 4 + 8]);
    }
    bytes.extend([0; 64]);
    bytes
}

const BYTE: u32 = 0;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
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
