//! `Retry-After`: the time for which a server wants no further request.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The time in seconds, or until a date (RFC 9110, 10.2.3); `None` if it is invalid.
pub(super) fn of(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(date.duration_since(now).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn the_time_is_in_seconds_or_a_date() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).expect("a header"));
            of(&headers, now).map(|time| time.as_secs())
        };
        assert_eq!(read("120"), Some(120));
        assert_eq!(read(" 0 "), Some(0));
        assert_eq!(read("1000000000"), Some(1_000_000_000));
        assert_eq!(read("Fri, 02 Jan 2026 03:04:15 GMT"), Some(10));
        assert_eq!(read("Fri, 02 Jan 2026 03:04:00 GMT"), Some(0));
        for text in ["soon", "-1", "1.5", ""] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
