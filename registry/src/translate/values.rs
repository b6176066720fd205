//! The values of tensors as floats of 32 bits.
//!
//! Blocks are those of `dequantize_row_*` in llama.cpp's `ggml/src/ggml-quants.c`; only types that occur in vision parts and
//! tables of tokens are read.

use crate::convert::float::{from_brain, from_half};
use crate::gguf::TensorType;

/// Reads one block of a type and appends its values.
pub(super) type Reader = fn(&[u8], &mut Vec<f32>);

/// The reader of a type; `None` for a type that is not read here.
pub(super) fn reader(kind: TensorType) -> Option<Reader> {
    Some(match kind.name() {
        "F32" => {
            |block, out| out.push(f32::from_le_bytes([block[0], block[1], block[2], block[3]]))
        }
        "F16" => |block, out| out.push(half(block)),
        "BF16" => |block, out| out.push(from_brain(u16::from_le_bytes([block[0], block[1]]))),
        "Q4_0" => q4_0,
        "Q8_0" => q8_0,
        "Q4_K" => q4_k,
        "Q6_K" => q6_k,
        _ => return None,
    })
}

fn half(bytes: &[u8]) -> f32 {
    from_half(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn q4_0(block: &[u8], out: &mut Vec<f32>) {
    let (scale, quants) = (half(block), &block[2..]);
    let value = |four: u8| scale * (f32::from(four) - 8.0);
    out.extend(quants.iter().map(|byte| value(byte & 0xF)));
    out.extend(quants.iter().map(|byte| value(byte >> 4)));
}

fn q8_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half(block);
    out.extend(
        block[2..]
            .iter()
            .map(|byte| scale * f32::from(byte.cast_signed())),
    );
}

fn q4_k(block: &[u8], out: &mut Vec<f32>) {
    let (scale, least) = (half(block), half(&block[2..]));
    let (packed, quants) = block[4..].split_at(12);
    // Six bits of scale and six of minimum for each of eight groups.
    let six = |group: usize| match group {
        0..4 => (packed[group] & 63, packed[group + 4] & 63),
        _ => (
            (packed[group + 4] & 0xF) | ((packed[group - 4] >> 6) << 4),
            (packed[group + 4] >> 4) | ((packed[group] >> 6) << 4),
        ),
    };
    for (pair, bytes) in quants.chunks_exact(32).enumerate() {
        for high in [false, true] {
            let (by, minus) = six(2 * pair + usize::from(high));
            let (by, minus) = (scale * f32::from(by), least * f32::from(minus));
            out.extend(bytes.iter().map(|byte| {
                let four = if high { byte >> 4 } else { byte & 0xF };
                by * f32::from(four) - minus
            }));
        }
    }
}

fn q6_k(block: &[u8], out: &mut Vec<f32>) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, scale) = rest.split_at(16);
    let scale = half(scale);
    for part in 0..2 {
        let (low, high, scales) = (&low[64 * part..], &high[32 * part..], &scales[8 * part..]);
        for quarter in 0..4 {
            for place in 0..32 {
                let byte = low[place + 32 * (quarter % 2)];
                let four = if quarter < 2 { byte & 0xF } else { byte >> 4 };
                let two = (high[place] >> (2 * quarter)) & 3;
                let six = f32::from(four | (two << 4)) - 32.0;
                let by = f32::from(scales[2 * quarter + place / 16].cast_signed());
                out.push(scale * by * six);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &str, block: &[u8]) -> Vec<f32> {
        let kind = (0..64)
            .filter_map(TensorType::from_id)
            .find(|kind| kind.name() == name);
        let kind = kind.expect("a type");
        assert_eq!(block.len() as u64, kind.block_bytes(), "{name}");
        let mut out = Vec::new();
        reader(kind).expect("it is read")(block, &mut out);
        assert_eq!(out.len() as u64, kind.block_values(), "{name}");
        out
    }

    /// 2 as a half.
    const TWO: [u8; 2] = [0x00, 0x40];
    /// 1 as a half.
    const ONE: [u8; 2] = [0x00, 0x3C];

    #[test]
    fn single_values_are_their_own_blocks() {
        assert_eq!(values("F32", &1.5_f32.to_le_bytes()), [1.5]);
        assert_eq!(values("F16", &TWO), [2.0]);
        assert_eq!(values("BF16", &[0x40, 0xC0]), [-3.0]);
    }

    #[test]
    fn blocks_of_32_have_one_scale() {
        let mut block = TWO.to_vec();
        block.extend((0..16).map(|low: u8| low | 0x90));
        let found = values("Q4_0", &block);
        assert_eq!(found[..3], [-16.0, -14.0, -12.0]);
        assert_eq!(found[16..], [2.0; 16]);

        let mut block = TWO.to_vec();
        block.extend((-16_i8..16).map(i8::cast_unsigned));
        let found = values("Q8_0", &block);
        assert_eq!((found[0], found[16], found[31]), (-32.0, 0.0, 30.0));
    }

    #[test]
    fn groups_of_q4_k_have_scales_and_minima_of_six_bits() {
        let mut block = [ONE, TWO].concat();
        // Group 0: scale 3, minimum 5. Group 4: scale 33 (1 and the upper bits 2), minimum 18 (2 and the upper bits 1).
        let mut packed = [0_u8; 12];
        packed[0] = 3 | (2 << 6);
        packed[4] = 5 | (1 << 6);
        packed[8] = 1 | (2 << 4);
        block.extend(packed);
        let mut quants = [0_u8; 128];
        quants[0] = 7;
        quants[64] = 9;
        block.extend(quants);
        let found = values("Q4_K", &block);
        assert_eq!(found[0], 3.0 * 7.0 - 2.0 * 5.0);
        assert_eq!(found[1], -10.0);
        assert_eq!(found[32], 0.0);
        assert_eq!(found[128], 33.0 * 9.0 - 2.0 * 18.0);
    }

    #[test]
    fn quarters_of_q6_k_share_bytes() {
        let mut block = vec![0_u8; 210];
        // The first value of each quarter of the second half: four bits below, two above.
        block[64] = 0x21;
        block[96] = 0x43;
        block[128 + 32] = 0b11_10_01_00;
        for (scale, at) in [(1_i8, 8), (2, 10), (-3, 12), (4, 14)] {
            block[192 + at] = scale.cast_unsigned();
        }
        block[208..].copy_from_slice(&TWO);
        let found = values("Q6_K", &block);
        let firsts = [found[128], found[160], found[192], found[224]];
        let expected = [
            2.0 * (1.0 - 32.0),
            4.0 * (19.0 - 32.0),
            -6.0 * (34.0 - 32.0),
            8.0 * (52.0 - 32.0),
        ];
        assert_eq!(firsts, expected);
    }
}
