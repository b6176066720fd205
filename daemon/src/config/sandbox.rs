//! The sandbox that runners must have.

/// The setting `sandbox`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sandbox {
    /// A runner confines itself as far as the machine supports it; its level is logged and shown.
    #[default]
    Auto,
    /// A runner below the level `full` gets no model.
    Require,
    /// No runner is confined.
    Off,
}

impl std::str::FromStr for Sandbox {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "require" => Ok(Self::Require),
            "off" => Ok(Self::Off),
            _ => Err(format!("{text:?} must be auto, require or off")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_of_three_words() {
        assert_eq!("auto".parse(), Ok(Sandbox::Auto));
        assert_eq!("require".parse(), Ok(Sandbox::Require));
        assert_eq!("off".parse(), Ok(Sandbox::Off));
        for other in ["on", "false", "no", "Off", "true", "0", ""] {
            let error = other.parse::<Sandbox>().unwrap_err();
            assert_eq!(error, format!("{other:?} must be auto, require or off"));
        }
    }
}
