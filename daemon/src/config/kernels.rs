//! Whether runners use slm's CPU kernels.

/// The setting `kernels`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kernels {
    /// Runners use the kernels that exist for the processor.
    #[default]
    Auto,
    /// Runners use llama.cpp's kernels only.
    Off,
}

impl std::str::FromStr for Kernels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => Err(format!("{text:?} must be auto or off")),
        }
    }
}
