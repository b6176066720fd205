//! Sizes as people write them: `512MiB`, `4GiB`, `1048576`.

/// Units by powers of 1024, largest first.
const UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

/// Reads a number of bytes.
///
/// # Errors
/// A message for people that shows the text and the accepted forms.
pub(super) fn read(text: &str) -> Result<u64, String> {
    let (number, shift) = UNITS
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .unwrap_or((if text == "off" { "0" } else { text }, 0));
    let number = number.trim_end();
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| number.parse::<u64>().ok())
        .flatten()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| {
            format!("{text:?} must be a whole number of bytes, or of KiB, MiB, GiB or TiB, or off")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_units_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("off", 0),
            ("17", 17),
            ("17B", 17),
            ("2 KiB", 2048),
            ("512MiB", 512 << 20),
            ("4GiB", 4 << 30),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(read(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn an_invalid_size_is_refused_with_the_units() {
        for text in [
            "",
            "GiB",
            "-1",
            "+1",
            "1.5GiB",
            "4GB",
            "4 G",
            "x",
            "false",
            "no",
            "99999999TiB",
            "18446744073709551616",
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains("MiB"), "{error}");
        }
    }
}
