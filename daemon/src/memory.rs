//! Bytes of memory, by device.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A device by llama.cpp's name for it: `CPU` is the host, others are such as `CUDA0` and `Vulkan0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// The memory of the host.
    pub fn host() -> Self {
        Self::new("CPU")
    }

    /// The device of this name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Whether it is the host.
    pub fn is_host(&self) -> bool {
        &*self.0 == "CPU"
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes on each device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage(BTreeMap<DeviceId, u64>);

impl Usage {
    /// Bytes of the host alone.
    pub fn of_host(bytes: u64) -> Self {
        Self::default().with(DeviceId::host(), bytes)
    }

    /// The same with these bytes on a device.
    #[must_use]
    pub fn with(mut self, device: DeviceId, bytes: u64) -> Self {
        self.0.insert(device, bytes);
        self
    }

    /// Bytes on a device.
    pub fn on(&self, device: &DeviceId) -> u64 {
        self.0.get(device).copied().unwrap_or(0)
    }

    /// Bytes of the host.
    pub fn host(&self) -> u64 {
        self.on(&DeviceId::host())
    }

    /// Bytes on all devices together.
    pub fn total(&self) -> u64 {
        self.0
            .values()
            .fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// The larger number of both, for each device.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        let mut larger = self.clone();
        for (device, bytes) in &other.0 {
            let own = larger.0.entry(device.clone()).or_default();
            *own = (*own).max(*bytes);
        }
        larger
    }

    /// The devices with their bytes, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&DeviceId, u64)> {
        self.0.iter().map(|(device, bytes)| (device, *bytes))
    }
}

/// The memory that a model takes when it is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// Bytes on each device.
    pub usage: Usage,
    /// Of the host's bytes, the mapped weights. The kernel can drop them and read them again from the file.
    pub mapped: u64,
}

impl Need {
    /// Bytes of the host that the kernel cannot drop.
    pub fn held(&self) -> u64 {
        self.usage.host().saturating_sub(self.mapped)
    }

    /// The same with so many more bytes of the host, none of them mapped.
    #[must_use]
    pub fn with_host(&self, bytes: u64) -> Self {
        let host = self.usage.host().saturating_add(bytes);
        Self {
            usage: self.usage.clone().with(DeviceId::host(), host),
            mapped: self.mapped,
        }
    }

    /// The larger number of both, for each device.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        Self {
            usage: self.usage.max(&other.usage),
            mapped: self.mapped.max(other.mapped),
        }
    }
}

/// Bytes for people: `1.3 GB`, `98 MB`.
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.0 as f64 / 1e6;
        match self.0 {
            0..950_000 => write!(f, "{:.1} MB", megabytes),
            950_000..950_000_000 => write!(f, "{megabytes:.0} MB"),
            _ => write!(f, "{:.1} GB", megabytes / 1e3),
        }
    }
}
