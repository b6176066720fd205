//! The load of a model on the CPU when its load on an accelerator failed.

use std::sync::Arc;

use runner_protocol::LoadSettings;

use super::{LoadRequest, Smaller};
use crate::error::Error;
use crate::memory::Need;

/// How a model is loaded on the CPU alone.
#[derive(Debug, Clone, PartialEq)]
pub struct OnCpu {
    /// The settings, without layers on accelerators.
    pub settings: LoadSettings,
    /// The memory that it is expected to take, without a host cache.
    pub need: Need,
    /// Smaller settings, as in [`LoadRequest::smaller`].
    pub smaller: Arc<[Smaller]>,
}

impl LoadRequest {
    /// The same request on the CPU, because its load on an accelerator failed for this reason.
    #[must_use]
    pub(super) fn on_cpu(mut self, cpu: &OnCpu, reason: &str) -> Self {
        self.settings = cpu.settings;
        self.need = cpu.need.clone();
        self.smaller = cpu.smaller.clone();
        reason.clone_into(&mut self.layers_reason);
        self.fallback = None;
        self.fell_back = true;
        self.add_host_cache();
        self
    }

    /// An error of this request, with the reason why it was on the CPU.
    pub(super) fn with_reasons(&self, error: Error) -> Error {
        match self.fell_back {
            true => Error::AfterAccelerator {
                reason: self.layers_reason.clone(),
                source: Box::new(error),
            },
            false => error,
        }
    }
}
