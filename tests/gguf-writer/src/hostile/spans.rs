//! G2: tensors with impossible shapes or offsets.

use super::{Hostile, hostile};
use crate::{Tensor, TensorType, Writer, small};

pub(super) fn files() -> Vec<Hostile> {
    let shapes = [
        ("no_dimensions", shaped(&[])),
        ("five_dimensions", shaped(&[32, 1, 1, 1, 1])),
        ("dimension_0", shaped(&[32, 0])),
        ("dimension_0_hides_a_huge_one", shaped(&[u64::MAX, 0])),
        ("dimension_2_to_63", shaped(&[1 << 63])),
        ("dimension_minus_1", shaped(&[u64::MAX])),
        ("product_wraps_to_0", shaped(&[1 << 32, 1 << 32])),
        ("product_wraps_to_32", shaped(&[32, (1 << 59) + 1, 32])),
        ("product_beyond_128_bits", shaped(&[u64::MAX; 4])),
        ("byte_size_wraps", shaped(&[1 << 62])),
        ("exabyte_tensor", shaped(&[1 << 20, 1 << 20, 1 << 18])),
        ("larger_than_the_file", shaped(&[32, 1_000_000])),
        ("one_row_beyond_the_file", shaped(&[32, 2])),
    ];
    let spans = [
        ("row_is_half_a_block", row_is_half_a_block()),
        ("row_of_1_in_blocks_of_256", row_of_one()),
        ("dimensions_stated_as_2_to_31", dimensions_stated(1 << 31)),
        ("dimensions_stated_as_minus_1", dimensions_stated(u32::MAX)),
        ("offset_beyond_the_file", offset(1 << 20)),
        ("offset_2_to_63", offset(1 << 63)),
        ("offset_wraps", offset(u64::MAX - 31)),
        ("same_offset_twice", offset(0)),
        ("overlap_in_the_middle", offset(64)),
        ("sizes_sum_to_0", sizes_sum_to_0()),
    ];
    let mut files: Vec<Hostile> = shapes
        .into_iter()
        .chain(spans)
        .map(|(name, writer)| hostile(name, "G2", &writer))
        .collect();
    files.push(cut_in_the_data());
    files
}

/// A file whose last tensor states these dimensions above data for 32 values.
fn shaped(dims: &[u64]) -> Writer {
    let data = vec![0; 128];
    small::metadata(Writer::new())
        .tensor(small::norm())
        .tensor(Tensor::new("output.weight", dims, TensorType::F32, data))
}

fn row_is_half_a_block() -> Writer {
    let tensor = Tensor::new("output.weight", &[16, 2], TensorType::Q8_0, vec![0; 34]);
    small::writer().tensor(Tensor {
        name: b"half".to_vec(),
        ..tensor
    })
}

fn row_of_one() -> Writer {
    small::writer().tensor(Tensor::new(
        "one",
        &[1, 256],
        TensorType::Q4_K,
        vec![0; 144],
    ))
}

fn dimensions_stated(stated: u32) -> Writer {
    small::writer().tensor(Tensor {
        stated_dims: Some(stated),
        ..Tensor::new("many", &[32], TensorType::F32, vec![0; 128])
    })
}

/// A file whose last tensor states this offset.
fn offset(offset: u64) -> Writer {
    small::metadata(Writer::new())
        .tensor(small::embedding())
        .tensor(Tensor {
            stated_offset: Some(offset),
            ..small::norm()
        })
}

/// Two tensors whose sizes add up to 2^64 bytes.
fn sizes_sum_to_0() -> Writer {
    let half = |name: &str| Tensor::new(name, &[1 << 61], TensorType::F32, vec![0; 32]);
    small::metadata(Writer::new())
        .tensor(half("first"))
        .tensor(half("second"))
}

fn cut_in_the_data() -> Hostile {
    let mut bytes = small::model();
    // Cuts the padding after the last tensor and one byte of its data.
    let padding = small::output().data.len().next_multiple_of(32) - small::output().data.len();
    bytes.truncate(bytes.len() - padding - 1);
    Hostile {
        name: "cut_in_the_data",
        rule: "G2",
        bytes,
    }
}
