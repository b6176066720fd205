//! Numbers and times for people.

use std::time::Duration;

use jiff::Timestamp;

/// Bytes in decimal units: `512 B`, `98.4 MB`, `4.7 GB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    // 999.95 would print as 1000.0.
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 99.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// A number of tokens per second, with one decimal below 10.
pub(crate) fn speed(tokens: f64) -> String {
    match tokens {
        10.0.. => format!("{tokens:.0}"),
        _ => format!("{tokens:.1}"),
    }
}

/// Bytes as [`bytes`] shows them; `-` for none.
pub(crate) fn bytes_or_none(count: u64) -> String {
    match count {
        0 => "-".to_owned(),
        count => bytes(count),
    }
}

/// A duration with the unit that suits it: `850µs`, `12.3ms`, `4.56s`, `2m03s`, `1h05m`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 3600 {
        format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60)
    } else if seconds >= 60 {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    } else if seconds >= 1 {
        format!("{:.2}s", duration.as_secs_f64())
    } else if duration.as_micros() >= 1000 {
        format!("{:.1}ms", duration.as_secs_f64() * 1e3)
    } else {
        format!("{}µs", duration.as_micros())
    }
}

/// An uptime in whole seconds: `0 s`, `12 s`, `2m03s`, `1h05m`.
pub(crate) fn uptime(up: Duration) -> String {
    match up.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => duration(Duration::from_secs(seconds)),
    }
}

/// A time relative to `now`: `2 hours ago`, `just now`, `in 4 minutes`, `forever`.
pub(crate) fn relative(time: Timestamp, now: Timestamp) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const WEEK: i64 = 7 * DAY;
    const MONTH: i64 = 30 * DAY;
    const YEAR: i64 = 365 * DAY;
    let seconds = time.as_second() - now.as_second();
    let (count, unit) = match seconds.abs() {
        0..5 => return "just now".to_owned(),
        s @ 5..MINUTE => (s, "second"),
        s @ MINUTE..HOUR => (s / MINUTE, "minute"),
        s @ HOUR..DAY => (s / HOUR, "hour"),
        s @ DAY..WEEK => (s / DAY, "day"),
        s @ WEEK..MONTH => (s / WEEK, "week"),
        s @ MONTH..YEAR => (s / MONTH, "month"),
        // A model that stays for ever has an expiry centuries ahead.
        s if seconds > 0 && s >= 50 * YEAR => return "forever".to_owned(),
        s => (s / YEAR, "year"),
    };
    let distance = self::count(count.unsigned_abs(), unit);
    if seconds < 0 {
        format!("{distance} ago")
    } else {
        format!("in {distance}")
    }
}

/// A count with its noun: `1 model`, `2 models`.
pub(crate) fn count(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// The first twelve digits of a digest, with or without `sha256:` before it.
pub(crate) fn short_digest(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}

/// Lines as one text that ends with one line break.
pub(crate) fn join_lines(lines: &[&str]) -> String {
    let mut text = lines.join("\n");
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (98_362_432, "98.4 MB"),
            (99_960_000, "100 MB"),
            (999_960_000, "1.0 GB"),
            (4_700_000_000, "4.7 GB"),
            (u64::MAX, "18447 PB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn durations() {
        for (nanoseconds, text) in [
            (850_000, "850µs"),
            (12_340_000, "12.3ms"),
            (4_560_000_000, "4.56s"),
            (123_000_000_000, "2m03s"),
            (3_900_000_000_000, "1h05m"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanoseconds)), text);
        }
    }

    #[test]
    fn uptimes_have_no_fractions() {
        for (milliseconds, text) in [
            (0, "0 s"),
            (999, "0 s"),
            (12_345, "12 s"),
            (123_999, "2m03s"),
        ] {
            assert_eq!(uptime(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn times() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        for (time, text) in [
            ("2026-11-20T12:00:00Z", "just now"),
            ("2026-11-20T11:59:30Z", "30 seconds ago"),
            ("2026-11-20T12:04:10Z", "in 4 minutes"),
            ("2026-11-20T11:00:00Z", "1 hour ago"),
            ("2026-11-17T12:00:00Z", "3 days ago"),
            ("2026-11-01T12:00:00Z", "2 weeks ago"),
            ("2025-11-20T12:00:00Z", "1 year ago"),
            ("2318-01-01T00:00:00Z", "forever"),
        ] {
            assert_eq!(relative(time.parse().unwrap(), now), text);
        }
    }

    #[test]
    fn a_short_digest_is_no_reason_to_panic() {
        assert_eq!(short_digest("sha256:b179c9523d0e6a0f"), "b179c9523d0e");
        assert_eq!(short_digest("b17"), "b17");
    }
}
