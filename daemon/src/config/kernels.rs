//! Whether runners compute with slm's kernels.

/// What runners are told about slm's CPU kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kernels {
    /// They compute where there are any for the processor.
    #[default]
    Auto,
    /// llama.cpp's own compute.
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
