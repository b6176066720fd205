//! Conversion between 16-bit floats and `f32`.

/// The value of a float of 16 bits (IEEE 754 binary16).
pub(crate) fn from_half(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(half >> 10) & 0x1F, u32::from(half & 0x3FF));
    let magnitude = match exponent {
        // Below the least power of two, steps are of 2^-24.
        0 => return f32::from_bits(sign | (fraction as f32 / (1_u32 << 24) as f32).to_bits()),
        0x1F => 0x7F80_0000 | (fraction << 13),
        _ => ((exponent + 127 - 15) << 23) | (fraction << 13),
    };
    f32::from_bits(sign | magnitude)
}

/// The value of the upper half of a float.
pub(crate) fn from_brain(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// Rounds to the nearest f16, ties to even; `None` for a value out of range and for NaN.
pub(super) fn to_half(value: f32) -> Option<u16> {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7FFF_FFFF;
    // 65520 is half-way from the largest to what would be the next.
    if magnitude >= 0x477F_F000 {
        return None;
    }
    let half = if magnitude < 0x3880_0000 {
        // Subnormals are multiples of 2^-24. That is the spacing of f32 near one half, so adding one half rounds to it.
        (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5_f32.to_bits()
    } else {
        let odd = (magnitude >> 13) & 1;
        ((magnitude + 0xFFF + odd) >> 13) - ((127 - 15) << 10)
    };
    Some(sign | half as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_comes_back() {
        for half in 0..=u16::MAX {
            let value = from_half(half);
            let expected = value.is_finite().then_some(half);
            assert_eq!(to_half(value), expected, "{half:#x} is {value}");
        }
    }

    #[test]
    fn values_are_those_of_the_standard() {
        for (half, value) in [
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x7BFF, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x3555, 0.333_251_95),
        ] {
            assert_eq!(from_half(half), value);
        }
        assert_eq!(from_brain(0x3F80), 1.0);
        assert_eq!(from_brain(0xC040), -3.0);
    }

    #[test]
    fn rounding_is_to_the_nearest_then_to_even() {
        for half in 0..0x7BFF_u16 {
            let (low, high) = (f64::from(from_half(half)), f64::from(from_half(half + 1)));
            let middle = ((low + high) / 2.0) as f32;
            let even = half + (half & 1);
            assert_eq!(to_half(middle), Some(even), "{middle}");
            assert_eq!(to_half(middle.next_down()), Some(half), "{middle}");
            assert_eq!(to_half(middle.next_up()), Some(half + 1), "{middle}");
        }
        assert_eq!(to_half(65519.996), Some(0x7BFF));
        for large in [65520.0, f32::MAX, f32::INFINITY, f32::NAN] {
            assert_eq!(to_half(large), None);
        }
    }
}
