//! What the daemon makes of durations as people write them: see [`api::duration`].

use std::time::Duration;

use api::KeepAlive;
use api::duration::seconds;

/// Longest duration that counts as finite: a hundred years.
const LONGEST: f64 = 100.0 * 365.0 * 24.0 * 3600.0;

/// How long a model stays loaded after its last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stay {
    /// So long; zero means that it goes at once.
    For(Duration),
    /// Until the daemon stops or the memory is needed.
    Always,
}

impl Stay {
    /// Whether it is not to stay at all.
    pub(crate) fn is_none(self) -> bool {
        self == Self::For(Duration::ZERO)
    }

    /// Reads what a client sent: a number of seconds, or text with units. Anything negative means for ever.
    ///
    /// # Errors
    /// A message for people that shows the text and the accepted forms.
    pub fn read(wire: &KeepAlive) -> Result<Self, String> {
        let seconds = match wire {
            KeepAlive::Seconds(seconds) if seconds.is_finite() => *seconds,
            KeepAlive::Seconds(_) => return Err("keep_alive is not a number".into()),
            KeepAlive::Text(text) => seconds(text)?,
        };
        Ok(Self::from_seconds(seconds))
    }

    fn from_seconds(seconds: f64) -> Self {
        if !(0.0..=LONGEST).contains(&seconds) {
            Self::Always
        } else {
            Self::For(Duration::from_secs_f64(seconds))
        }
    }

    /// The same on the wire.
    pub fn to_wire(self) -> KeepAlive {
        match self {
            Self::For(duration) => KeepAlive::Seconds(duration.as_secs_f64()),
            Self::Always => KeepAlive::Seconds(-1.0),
        }
    }
}

impl std::str::FromStr for Stay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        seconds(text).map(Self::from_seconds)
    }
}

impl std::fmt::Display for Stay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::For(duration) => write!(f, "{duration:?}"),
            Self::Always => f.write_str("-1"),
        }
    }
}

/// Reads a duration that cannot be negative or endless.
///
/// # Errors
/// A message for people that shows the text and the accepted forms.
pub fn finite(text: &str) -> Result<Duration, String> {
    match text.parse()? {
        Stay::For(duration) => Ok(duration),
        Stay::Always => Err(format!("{text:?} must not be negative")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Stay) {
        assert_eq!(text.parse::<Stay>(), Ok(expected), "{text}");
    }

    #[test]
    fn units_add_up() {
        check("5m", Stay::For(Duration::from_secs(300)));
        check("1h30m", Stay::For(Duration::from_secs(5400)));
        check("1.5h", Stay::For(Duration::from_secs(5400)));
        check("300ms", Stay::For(Duration::from_millis(300)));
        check("90", Stay::For(Duration::from_secs(90)));
        check("0", Stay::For(Duration::ZERO));
        check("0s", Stay::For(Duration::ZERO));
        check(" 2s ", Stay::For(Duration::from_secs(2)));
    }

    #[test]
    fn negative_and_absurdly_long_mean_always() {
        for text in ["-1", "-1m", "-5m", "1e12", "99999999h"] {
            check(text, Stay::Always);
        }
    }

    #[test]
    fn anything_else_is_refused_with_examples() {
        for text in [
            "", "-", "x", "5 m", "1d", "m5", "5m-1s", "nan", "inf", "..s", "5mm",
        ] {
            assert!(text.parse::<Stay>().unwrap_err().contains("5m"), "{text}");
        }
    }

    #[test]
    fn the_wire_has_numbers_and_text() {
        assert_eq!(
            Stay::read(&KeepAlive::Seconds(0.5)),
            Ok(Stay::For(Duration::from_millis(500)))
        );
        assert_eq!(Stay::read(&KeepAlive::Seconds(-1.0)), Ok(Stay::Always));
        assert_eq!(
            Stay::read(&KeepAlive::Text("1m".into())),
            Ok(Stay::For(Duration::from_secs(60)))
        );
        assert!(Stay::read(&KeepAlive::Seconds(f64::NAN)).is_err());
    }

    #[test]
    fn a_finite_duration_refuses_for_ever() {
        assert_eq!(finite("10s"), Ok(Duration::from_secs(10)));
        assert!(finite("-1").is_err());
    }
}
