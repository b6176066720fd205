//! Rates as people write them: `20MB`, `20MB/s`, `512KiB/s`.

use std::num::NonZeroU64;

/// Units in bytes.
const UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Reads bytes per second; an empty text sets no limit.
///
/// # Errors
/// A message for people that shows the text and the accepted forms.
pub(super) fn read(text: &str) -> Result<Option<NonZeroU64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let amount = text.strip_suffix("/s").unwrap_or(text);
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((amount.strip_suffix(name)?, *unit)))
        .unwrap_or((amount, 1));
    let number = number.trim_end();
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| number.parse::<u64>().ok())
        .flatten()
        .and_then(|number| NonZeroU64::new(number.checked_mul(unit)?))
        .map(Some)
        .ok_or_else(|| {
            format!(
                "{text:?} must be a whole number of bytes per second above 0, such as 20MB/s, 512KiB/s or 1000000; empty sets no limit"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_units_are_read() {
        for (text, bytes) in [
            ("20MB", 20_000_000),
            ("20MB/s", 20_000_000),
            ("20 MB/s", 20_000_000),
            ("512KiB/s", 512 << 10),
            ("1GiB", 1 << 30),
            ("300kB", 300_000),
            ("1000000", 1_000_000),
            ("7B/s", 7),
        ] {
            assert_eq!(read(text), Ok(NonZeroU64::new(bytes)), "{text}");
        }
        assert_eq!(read(""), Ok(None));
    }

    #[test]
    fn an_invalid_rate_is_refused_with_examples() {
        for text in [
            "0",
            "0MB/s",
            "MB/s",
            "-1",
            "1.5MB",
            "20Mbit/s",
            "20MB/min",
            "fast",
            "99999999999GiB",
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains("20MB/s"), "{error}");
        }
    }
}
