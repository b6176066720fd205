//! G1: files of another format or version, or cut files.

use super::Hostile;
use crate::small;

pub(super) fn files() -> Vec<Hostile> {
    let model = small::model();
    let version = |version| small::writer().version(version).to_bytes();
    [
        ("empty", Vec::new()),
        ("one_byte", b"G".to_vec()),
        ("magic_only", b"GGUF".to_vec()),
        ("half_a_version", model[..6].to_vec()),
        ("version_only", model[..8].to_vec()),
        ("half_a_tensor_count", model[..12].to_vec()),
        ("no_pair_count", model[..16].to_vec()),
        ("half_a_pair_count", model[..20].to_vec()),
        (
            "web_page",
            b"<!DOCTYPE html><html><body>Not Found</body></html>".to_vec(),
        ),
        (
            "zip_archive",
            b"PK\x03\x04\x14\x00\x00\x00\x08\x00".repeat(8),
        ),
        ("zeros", vec![0; 4096]),
        ("older_format", small::writer().magic(*b"ggjt").to_bytes()),
        (
            "magic_backwards",
            small::writer().magic(*b"FUGG").to_bytes(),
        ),
        ("version_0", version(0)),
        ("version_1", version(1)),
        ("version_4", version(4)),
        ("version_all_ones", version(u32::MAX)),
        ("cut_in_the_last_value", cut_in_the_last_value()),
        ("cut_in_a_tensor", cut_in_a_tensor()),
    ]
    .map(|(name, bytes)| Hostile {
        name,
        rule: "G1",
        bytes,
    })
    .to_vec()
}

/// Enough bytes for the counts to be possible, but not for the last string.
fn cut_in_the_last_value() -> Vec<u8> {
    let mut header = small::writer().without_tensors().header();
    header.truncate(header.len() - 4);
    header
}

/// Enough bytes for the counts to be possible, but not for the last tensor's description.
fn cut_in_a_tensor() -> Vec<u8> {
    let mut header = small::writer().header();
    header.truncate(header.len() - 4);
    header
}
