//! G6: invalid alignments, and tensors that violate the alignment.

use super::{Hostile, hostile};
use crate::{Tensor, TensorType, small};

pub(super) fn files() -> Vec<Hostile> {
    let stated = |alignment: u32| small::writer().kv("general.alignment", alignment);
    let offset = |offset| {
        small::writer().tensor(Tensor {
            stated_offset: Some(offset),
            ..Tensor::new("last", &[1], TensorType::F32, vec![0; 64])
        })
    };
    [
        ("alignment_0", stated(0)),
        ("alignment_1", stated(1)),
        ("alignment_3", stated(3)),
        ("alignment_4", stated(4)),
        ("alignment_33", stated(33)),
        ("alignment_2_mebibytes", stated(2 * 1024 * 1024)),
        ("alignment_2_to_31", stated(1 << 31)),
        ("alignment_minus_1", stated(u32::MAX)),
        ("offset_1", offset(1)),
        ("offset_31", offset(31)),
        ("offset_minus_1", offset(u64::MAX)),
        (
            "offsets_of_another_alignment",
            small::writer().kv("general.alignment", 256_u32),
        ),
    ]
    .map(|(name, writer)| hostile(name, "G6", &writer))
    .to_vec()
}
