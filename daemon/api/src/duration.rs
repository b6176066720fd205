//! Durations as users write them: `5m`, `1h30m`, `1.5h`, `300ms`.
//!
//! The units and the shape are those of Go, because `keep_alive` comes from clients that were written for it:
//! one or more pairs of a decimal number and a unit out of `ns us µs ms s m h`, with an optional sign in front.

/// Seconds of a duration text; a bare number counts as seconds.
///
/// # Errors
/// A message that shows the text and the accepted forms.
pub fn seconds(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is no duration; write for example 90, 300ms, 5m, 1h30m or -1");
    let trimmed = text.trim();
    if trimmed.len() > 64 {
        return Err("a duration has at most 64 characters".into());
    }
    if let Ok(plain) = trimmed.parse::<f64>() {
        return if plain.is_finite() {
            Ok(plain)
        } else {
            Err(wrong())
        };
    }
    let (sign, mut rest) = match trimmed.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        total += number * unit;
        rest = &rest[letters..];
    }
    Ok(sign * total)
}
