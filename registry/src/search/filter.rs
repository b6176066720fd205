//! What a search can be narrowed to: `license=mit`, `capability=tools`, `max-size=4B`, `min-size=1B`, `owner=acme`.

use std::str::FromStr;

use super::Hit;
use crate::Capability;

/// One condition. A model of which a place does not tell what is asked for does not meet it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Its licence has this in it.
    License(String),
    /// The catalog says that it can do this; the hub tells no capabilities.
    Capability(Capability),
    /// It has at most so many parameters.
    AtMost(u64),
    /// It has at least so many parameters.
    AtLeast(u64),
    /// Its repository on the hub is of this owner.
    Owner(String),
}

impl Filter {
    /// Whether a model meets it.
    pub(super) fn fits(&self, hit: &Hit) -> bool {
        let parameters = || hit.parameter_size.as_deref().and_then(count);
        match self {
            Self::License(text) => hit
                .license
                .as_ref()
                .is_some_and(|license| license.to_lowercase().contains(text)),
            Self::Capability(wanted) => hit.capabilities.contains(wanted),
            Self::AtMost(most) => parameters().is_some_and(|found| found <= *most),
            Self::AtLeast(least) => parameters().is_some_and(|found| found >= *least),
            Self::Owner(owner) => {
                let of = hit.name.split('/').rev().nth(1);
                !hit.in_catalog && of.is_some_and(|found| found.eq_ignore_ascii_case(owner))
            }
        }
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(60).collect();
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let value = value.trim();
        let size = || {
            count(value).ok_or_else(|| {
                format!("{shown:?}: a size is a number of parameters, such as 4B or 500M")
            })
        };
        match key.trim() {
            _ if value.is_empty() => Err(format!(
                "{shown:?} is no filter, which is written as license=mit, capability=tools, max-size=4B, min-size=1B or owner=acme"
            )),
            "license" => Ok(Self::License(value.to_lowercase())),
            "capability" => Capability::find(value)
                .map(Self::Capability)
                .ok_or_else(|| {
                    format!(
                        "{shown:?}: there is no such capability; there are {}",
                        Capability::ALL.map(Capability::as_str).join(", ")
                    )
                }),
            "max-size" => size().map(Self::AtMost),
            "min-size" => size().map(Self::AtLeast),
            "owner" => Ok(Self::Owner(value.to_owned())),
            _ => Err(format!(
                "{shown:?}: known filters are license, capability, max-size, min-size and owner"
            )),
        }
    }
}

/// A number of parameters, such as `3.8B` or `500M`.
fn count(text: &str) -> Option<u64> {
    let (digits, unit) = match text.trim().char_indices().last()? {
        (at, 'k' | 'K') => (&text.trim()[..at], 1e3),
        (at, 'm' | 'M') => (&text.trim()[..at], 1e6),
        (at, 'b' | 'B') => (&text.trim()[..at], 1e9),
        (at, 't' | 'T') => (&text.trim()[..at], 1e12),
        _ => (text.trim(), 1.0),
    };
    let number: f64 = digits.parse().ok()?;
    (number.is_finite() && (0.0..1e6).contains(&number) || unit == 1.0 && number >= 0.0)
        .then_some((number * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_is_met_by_what_it_says() {
        let hit = Hit {
            name: "hf.co/Acme/notes".to_owned(),
            description: String::new(),
            parameter_size: Some("3.8B".to_owned()),
            license: Some("Apache-2.0".to_owned()),
            downloads: None,
            updated: None,
            in_catalog: false,
            capabilities: vec![Capability::Tools],
        };
        let fits = |text: &str| {
            let filter: Filter = text.parse().unwrap_or_else(|error| panic!("{error}"));
            filter.fits(&hit)
        };
        for met in [
            "license=apache",
            "capability=tools",
            "max-size=4B",
            "min-size=500M",
            "owner=acme",
        ] {
            assert!(fits(met), "{met}");
        }
        for unmet in [
            "license=mit",
            "capability=vision",
            "max-size=3.7B",
            "min-size=4b",
            "owner=notes",
        ] {
            assert!(!fits(unmet), "{unmet}");
        }
        let unknown = Hit {
            parameter_size: None,
            license: None,
            ..hit.clone()
        };
        for text in ["license=apache", "max-size=4B", "min-size=1"] {
            let filter: Filter = text.parse().expect("a filter");
            assert!(!filter.fits(&unknown), "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_is_told_with_what_is() {
        for (text, said) in [
            ("tools", "license=mit"),
            ("license=", "license=mit"),
            ("colour=red", "known filters"),
            ("capability=fly", "there are"),
            ("max-size=large", "number of parameters"),
            ("max-size=-1", "number of parameters"),
        ] {
            let error = text.parse::<Filter>().expect_err(text);
            assert!(error.contains(said), "{error}");
        }
    }
}
