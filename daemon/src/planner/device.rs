//! The name of a device.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A device that holds or computes parts of a model, named as ggml names it: `CPU`, `CUDA0`, `Vulkan0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(String);

impl DeviceId {
    const CPU: &str = "CPU";

    /// A device by its name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The processor with the main memory.
    #[must_use]
    pub fn cpu() -> Self {
        Self::new(Self::CPU)
    }

    /// Whether it is the processor.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        self.0 == Self::CPU
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
