//! What was predicted: bytes by part and device.

use serde::{Deserialize, Serialize};

use super::DeviceId;

/// Predicted bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prediction {
    parts: Vec<Part>,
}

/// The bytes of one part on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it holds.
    pub kind: PartKind,
    /// Where it is.
    pub device: DeviceId,
    /// Its size.
    pub bytes: u64,
}

/// What a part of the memory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// Weights that are read from the mapped file.
    MappedWeights,
    /// Weights that were copied: to a device, or into the layout that the processor multiplies fastest.
    Weights,
    /// Keys and values, and recurrent states.
    KvCache,
    /// Results of operations, and logits.
    Compute,
    /// The process without the model: heap, stacks, vocabulary.
    Process,
    /// The encoder of images.
    Projector,
    /// The draft model with its cache.
    Draft,
    /// LoRA adapters.
    Adapters,
    /// States of finished sequences.
    HostCache,
}

impl PartKind {
    /// Its name in tables, such as `kv cache`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MappedWeights => "weights (mapped)",
            Self::Weights => "weights (copied)",
            Self::KvCache => "KV cache",
            Self::Compute => "compute buffers",
            Self::Process => "process",
            Self::Projector => "projector",
            Self::Draft => "draft model",
            Self::Adapters => "adapters",
            Self::HostCache => "host cache",
        }
    }
}

impl Prediction {
    pub(super) fn add(&mut self, kind: PartKind, device: &DeviceId, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut parts = self.parts.iter_mut();
        match parts.find(|part| part.kind == kind && part.device == *device) {
            Some(part) => part.bytes = part.bytes.saturating_add(bytes),
            None => self.parts.push(Part {
                kind,
                device: device.clone(),
                bytes,
            }),
        }
    }

    /// The same with the bytes of some parts multiplied.
    pub(super) fn scaled(&self, ratio: f64, scales: impl Fn(PartKind) -> bool) -> Self {
        let mut scaled = self.clone();
        for part in &mut scaled.parts {
            if scales(part.kind) {
                // Bytes beyond 2^53 lose their last digits, and saturate.
                part.bytes = (part.bytes as f64 * ratio) as u64;
            }
        }
        scaled
    }

    /// The bytes on a device.
    #[must_use]
    pub fn on(&self, device: &DeviceId) -> u64 {
        self.sum(|part| part.device == *device)
    }

    /// The bytes in main memory.
    #[must_use]
    pub fn host(&self) -> u64 {
        self.sum(|part| part.device.is_host())
    }

    /// The bytes on all devices.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.sum(|_| true)
    }

    /// The bytes of a part on all devices.
    #[must_use]
    pub fn of(&self, kind: PartKind) -> u64 {
        self.sum(|part| part.kind == kind)
    }

    /// Each part on each device.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The devices that have a part, main memory first.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceId> {
        let mut devices: Vec<DeviceId> = Vec::new();
        for part in &self.parts {
            if !devices.contains(&part.device) {
                devices.push(part.device.clone());
            }
        }
        devices.sort_by_key(|device| !device.is_host());
        devices
    }

    fn sum(&self, counts: impl Fn(&Part) -> bool) -> u64 {
        let parts = self.parts.iter().filter(|part| counts(part));
        parts.fold(0, |sum, part| sum.saturating_add(part.bytes))
    }
}
