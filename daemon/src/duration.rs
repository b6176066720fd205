//! Durations as people write them (see [`api::duration`]), and the keep-alive of a model.

use std::time::Duration;

use api::duration::seconds;

/// Longest duration that counts as finite: a hundred years.
const MAX_SECONDS: f64 = 100.0 * 365.0 * 24.0 * 3600.0;

/// Nanoseconds, as the API has durations.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How long a model stays loaded after its last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeepAlive {
    /// For this long; zero unloads it at once.
    For(Duration),
    /// Until the daemon stops or another model needs the memory.
    Always,
}

impl KeepAlive {
    /// Whether the model is unloaded at once.
    pub(crate) fn is_zero(self) -> bool {
        self == Self::For(Duration::ZERO)
    }

    /// Reads the field of a request: a number of seconds, or a text with units. A negative number means always.
    ///
    /// # Errors
    /// A message for people that shows the text and the accepted forms.
    pub fn read(wire: &api::KeepAlive) -> Result<Self, String> {
        let seconds = match wire {
            api::KeepAlive::Seconds(seconds) if seconds.is_finite() => *seconds,
            api::KeepAlive::Seconds(_) => return Err("keep_alive is not a number".into()),
            api::KeepAlive::Text(text) => seconds(text)?,
        };
        Ok(Self::from_seconds(seconds))
    }

    fn from_seconds(seconds: f64) -> Self {
        if !(0.0..=MAX_SECONDS).contains(&seconds) {
            Self::Always
        } else {
            Self::For(Duration::from_secs_f64(seconds))
        }
    }

    /// The value as a field of a response.
    pub fn to_wire(self) -> api::KeepAlive {
        match self {
            Self::For(duration) => api::KeepAlive::Seconds(duration.as_secs_f64()),
            Self::Always => api::KeepAlive::Seconds(-1.0),
        }
    }
}

impl std::str::FromStr for KeepAlive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        seconds(text).map(Self::from_seconds)
    }
}

impl std::fmt::Display for KeepAlive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::For(duration) => write!(f, "{duration:?}"),
            Self::Always => f.write_str("-1"),
        }
    }
}

/// Reads a finite duration that is not negative.
///
/// # Errors
/// A message for people that shows the text and the accepted forms.
pub fn finite(text: &str) -> Result<Duration, String> {
    match text.parse()? {
        KeepAlive::For(duration) => Ok(duration),
        KeepAlive::Always => Err(format!("{text:?} must not be negative")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: KeepAlive) {
        assert_eq!(text.parse::<KeepAlive>(), Ok(expected), "{text}");
    }

    #[test]
    fn units_add_up() {
        check("5m", KeepAlive::For(Duration::from_secs(300)));
        check("1h30m", KeepAlive::For(Duration::from_secs(5400)));
        check("1.5h", KeepAlive::For(Duration::from_secs(5400)));
        check("300ms", KeepAlive::For(Duration::from_millis(300)));
        check("90", KeepAlive::For(Duration::from_secs(90)));
        check("0", KeepAlive::For(Duration::ZERO));
        check("0s", KeepAlive::For(Duration::ZERO));
        check(" 2s ", KeepAlive::For(Duration::from_secs(2)));
    }

    #[test]
    fn negative_and_very_long_durations_mean_always() {
        for text in ["-1", "-1m", "-5m", "1e12", "99999999h"] {
            check(text, KeepAlive::Always);
        }
    }

    #[test]
    fn anything_else_is_refused_with_examples() {
        for text in [
            "", "-", "x", "5 m", "1d", "m5", "5m-1s", "nan", "inf", "..s", "5mm",
        ] {
            assert!(
                text.parse::<KeepAlive>().unwrap_err().contains("5m"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_wire_has_numbers_and_text() {
        assert_eq!(
            KeepAlive::read(&api::KeepAlive::Seconds(0.5)),
            Ok(KeepAlive::For(Duration::from_millis(500)))
        );
        assert_eq!(
            KeepAlive::read(&api::KeepAlive::Seconds(-1.0)),
            Ok(KeepAlive::Always)
        );
        assert_eq!(
            KeepAlive::read(&api::KeepAlive::Text("1m".into())),
            Ok(KeepAlive::For(Duration::from_secs(60)))
        );
        assert!(KeepAlive::read(&api::KeepAlive::Seconds(f64::NAN)).is_err());
    }

    #[test]
    fn a_finite_duration_refuses_for_ever() {
        assert_eq!(finite("10s"), Ok(Duration::from_secs(10)));
        assert!(finite("-1").is_err());
    }
}
