//! The backend that runners compute with.

use devices::BACKENDS;

/// The setting `backend`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Backend {
    /// The best backend that can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// This backend; a model that it cannot load is not loaded.
    Named(&'static str),
}

impl std::str::FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => match BACKENDS.iter().find(|kind| kind.name == text) {
                Some(kind) => Ok(Self::Named(kind.name)),
                None => Err(format!(
                    "{text:?} must be auto, cpu, or one of {}",
                    BACKENDS.map(|kind| kind.name).join(", ")
                )),
            },
        }
    }
}
