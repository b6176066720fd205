//! The backend that runners compute with.

/// The names of the backends that have a module; `cargo xtask backend` lists the same ones.
const NAMES: [&str; 10] = [
    "cuda", "rocm", "metal", "vulkan", "sycl", "opencl", "cann", "musa", "openvino", "hexagon",
];

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
            _ => match NAMES.into_iter().find(|name| *name == text) {
                Some(name) => Ok(Self::Named(name)),
                None => Err(format!(
                    "{text:?} must be auto, cpu, or one of {}",
                    NAMES.join(", ")
                )),
            },
        }
    }
}
