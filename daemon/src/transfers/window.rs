//! The time of day in which jobs run.

use jiff::civil::Time;
use jiff::{Timestamp, ToSpan as _, Zoned};

/// A daily window in the time zone of this machine; over midnight if its end is the earlier time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from: Time,
    to: Time,
}

impl Window {
    /// When it opens next; `None` while it is open.
    pub(crate) fn opens(&self, now: &Zoned) -> Option<Timestamp> {
        let time = now.time();
        let is_open = if self.from < self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        };
        if is_open {
            return None;
        }
        let today = now.date();
        let date = if time < self.from {
            today
        } else {
            today.checked_add(1.day()).unwrap_or(today)
        };
        // A time that daylight saving skips moves to the end of the gap.
        let opens = date.at(self.from.hour(), self.from.minute(), 0, 0);
        let opens = opens.to_zoned(now.time_zone().clone()).ok();
        // Outside of the range of timestamps the window counts as open.
        opens
            .map(|opens| opens.timestamp())
            .filter(|opens| *opens > now.timestamp())
    }
}

impl std::str::FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = |text: &str| Time::strptime("%H:%M", text.trim()).ok();
        let window = text.split_once('-').and_then(|(from, to)| {
            let (from, to) = (time(from)?, time(to)?);
            (from != to).then_some(Self { from, to })
        });
        window.ok_or_else(|| {
            format!("{text:?} must be two different times of the day such as 22:00-06:00")
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn opens(window: &str, now: &str) -> String {
        let window: Window = window.parse().unwrap();
        let now: Zoned = now.parse().unwrap();
        let opens = window.opens(&now);
        opens.map_or_else(
            || "open".to_owned(),
            |opens| opens.to_zoned(now.time_zone().clone()).to_string(),
        )
    }

    #[test]
    fn a_window_over_midnight_is_open_on_both_sides_of_it() {
        let at = |time: &str| opens("22:00-06:00", &format!("2026-11-20T{time}[UTC]"));
        assert_eq!(at("21:59:59"), "2026-11-20T22:00:00+00:00[UTC]");
        assert_eq!(at("22:00:00"), "open");
        assert_eq!(at("00:00:00"), "open");
        assert_eq!(at("05:59:59"), "open");
        assert_eq!(at("06:00:00"), "2026-11-20T22:00:00+00:00[UTC]");
    }

    #[test]
    fn a_window_within_a_day_opens_today_or_tomorrow() {
        let at = |time: &str| opens("12:30-13:00", &format!("2026-12-31T{time}[UTC]"));
        assert_eq!(at("08:00:00"), "2026-12-31T12:30:00+00:00[UTC]");
        assert_eq!(at("12:30:00"), "open");
        assert_eq!(at("13:00:00"), "2027-01-01T12:30:00+00:00[UTC]");
    }

    #[test]
    fn a_time_that_daylight_saving_skips_moves_to_the_end_of_the_gap() {
        // Central Europe: on this night 02:00 is followed by 03:00.
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let now = jiff::civil::date(2026, 3, 29).at(1, 0, 0, 0).to_zoned(zone);
        let window: Window = "02:30-04:00".parse().unwrap();
        let opens = window.opens(&now.unwrap()).unwrap();
        assert_eq!(opens.to_string(), "2026-03-29T01:30:00Z");
    }

    #[test]
    fn a_window_is_two_different_times() {
        for text in [
            "",
            "22:00",
            "22:00-",
            "22-6",
            "24:00-06:00",
            "x-y",
            "06:00-06:00",
        ] {
            let error = text.parse::<Window>().unwrap_err();
            assert!(error.contains("22:00-06:00"), "{error}");
        }
    }
}
