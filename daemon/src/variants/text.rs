//! Numbers of a choice for people.

/// Bytes in gigabytes, as `slm list` prints sizes.
pub(crate) fn gigabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{} MB", bytes.div_ceil(1_000_000)),
        _ => {
            let tenths = bytes.div_ceil(100_000_000);
            match tenths % 10 {
                0 => format!("{} GB", tenths / 10),
                rest => format!("{}.{rest} GB", tenths / 10),
            }
        }
    }
}

/// Tokens per second with two digits.
pub(crate) fn speed(tokens: f64) -> String {
    match tokens {
        10.0.. => format!("{tokens:.0} tokens/s"),
        _ => {
            let text = format!("{tokens:.1}");
            format!("{} tokens/s", text.trim_end_matches(".0"))
        }
    }
}
