//! What a load took corrects the next prediction.
//!
//! The runner reports the sizes of its buffers. Their sum, divided by what was predicted for the same parts, is kept for the model and
//! the settings that memory depends on, and the next prediction for both is multiplied by it, before layers are divided over devices.

use runner_protocol::{MemoryKind, MemoryPart};

use super::{LoadPlan, PartKind, Prediction};

/// A ratio beyond this is a mistake of the report rather than of the prediction.
const LARGEST: f64 = 4.0;

/// Bytes that were predicted, and bytes that were measured, of the same parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// What was predicted.
    pub predicted: u64,
    /// What was measured.
    pub measured: u64,
}

impl Correction {
    /// Compares a prediction with what the runner reports; `None` for a report without sizes.
    #[must_use]
    pub fn between(prediction: &Prediction, reported: &[MemoryPart]) -> Option<Self> {
        // The size of adapters is known, and other loads have others.
        let reported = || {
            reported
                .iter()
                .filter(|part| part.kind != MemoryKind::Adapters)
        };
        let measured = reported().fold(0_u64, |sum, part| sum.saturating_add(part.bytes));
        let mut kinds: Vec<PartKind> = reported().map(|part| part.kind.into()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let predicted = kinds.into_iter().map(|kind| prediction.of(kind));
        let predicted = predicted.fold(0, u64::saturating_add);
        (measured > 0 && predicted > 0).then_some(Self {
            predicted,
            measured,
        })
    }

    /// Measured bytes by predicted ones.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        if self.predicted == 0 {
            return 1.0;
        }
        let ratio = self.measured as f64 / self.predicted as f64;
        ratio.clamp(1.0 / LARGEST, LARGEST)
    }

    /// The prediction with every part that a runner reports multiplied by the ratio.
    #[must_use]
    pub fn apply(&self, prediction: &Prediction) -> Prediction {
        prediction.scaled(self.ratio(), |kind| {
            !matches!(
                kind,
                PartKind::Process | PartKind::Projector | PartKind::Adapters | PartKind::HostCache
            )
        })
    }
}

impl From<MemoryKind> for PartKind {
    fn from(kind: MemoryKind) -> Self {
        match kind {
            MemoryKind::MappedWeights => Self::MappedWeights,
            MemoryKind::Weights => Self::Weights,
            MemoryKind::KvCache => Self::KvCache,
            MemoryKind::Compute => Self::Compute,
            MemoryKind::Draft => Self::Draft,
            MemoryKind::Adapters => Self::Adapters,
        }
    }
}

impl LoadPlan {
    /// The settings that memory depends on, as a key for what was measured with them.
    #[must_use]
    pub fn class(&self) -> String {
        let settings = &self.settings;
        let devices = self.offload.layers.iter();
        let devices: Vec<String> = devices
            .map(|share| format!("{}:{}", share.device, share.count))
            .collect();
        format!(
            "context {} batch {} kv {} sequences {} mmap {} layers {} experts {}",
            settings.context,
            settings.batch,
            settings.kv_type.name(),
            self.sequences,
            settings.mmap,
            devices.join(","),
            self.offload.experts_on_host,
        )
    }
}
