//! Numbers of 16 bits, which the standard library does not have yet.

/// The bits of the IEEE 754 half-precision number that is next to `value` towards zero.
///
/// For weights: values too small for a normal half-precision number become zero, and `value` is less than 65,504.
pub(crate) fn bits(value: f32) -> u16 {
    const SMALLEST_NORMAL: f32 = 1.0 / 16_384.0;
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    if value.abs() < SMALLEST_NORMAL {
        return sign;
    }
    // The exponent is biased by 127 there and by 15 here, and 13 bits of the fraction are left out.
    let magnitude = (bits & 0x7FFF_FFFF) - ((127 - 15) << 23);
    sign | (magnitude >> 13) as u16
}

#[cfg(test)]
mod tests {
    use super::bits;

    #[test]
    fn known_numbers_have_their_bits() {
        let known = [
            (0.0, 0x0000),
            (1.0, 0x3C00),
            (-2.0, 0xC000),
            (0.5, 0x3800),
            (1.0 / 16_384.0, 0x0400),
            (1e-9, 0x0000),
            (0.333_333_34, 0x3555),
        ];
        for (value, expected) in known {
            assert_eq!(bits(value), expected, "{value}");
        }
    }
}
