//! The host cache of a runner as a part of the memory of its model.
//!
//! It is counted when a request has to wait for a load, because its usual size depends on the memory that is available then.
//! A cache that was not asked for is the first thing that a model gives up, and no other model is unloaded for it.

use std::sync::Arc;

use super::{HostMemory, LoadRequest, Smaller};

/// Share of the available memory for the host cache, where the configuration leaves its size to slm.
pub(crate) const SHARE: u64 = 16;

impl LoadRequest {
    /// Decides the size of the host cache, with the memory that is available now, and counts it.
    pub(super) fn count_host_cache(&mut self, memory: Option<HostMemory>) {
        let usual = memory.map(|memory| memory.available / SHARE);
        self.host_cache = self.state_memory.or(usual);
        self.add_host_cache();
    }

    /// The same load without the host cache, if the cache was not asked for.
    pub(super) fn without_host_cache(&self) -> Option<&Smaller> {
        let first = self.smaller.first()?;
        let is_automatic = self.state_memory.is_none() && self.host_cache > Some(0);
        (is_automatic && first.settings == self.settings && first.host_cache == Some(0))
            .then_some(first)
    }

    /// Adds the host cache to the memory of the model, which must not count one yet.
    pub(super) fn add_host_cache(&mut self) {
        let Some(bytes) = self.host_cache.filter(|bytes| *bytes > 0) else {
            return;
        };
        self.smaller = match self.state_memory {
            Some(_) => {
                let counted = self.smaller.iter().map(|smaller| Smaller {
                    need: smaller.need.with_host(bytes),
                    host_cache: Some(bytes),
                    ..smaller.clone()
                });
                counted.collect()
            }
            None => {
                let without = Smaller {
                    settings: self.settings,
                    sequences: None,
                    need: self.need.clone(),
                    host_cache: Some(0),
                    text: NONE.to_owned(),
                    drops_adapters: false,
                };
                let others = self.smaller.iter().map(|smaller| Smaller {
                    host_cache: Some(0),
                    text: format!("{NONE}, {}", smaller.text),
                    ..smaller.clone()
                });
                let all: Vec<Smaller> = std::iter::once(without).chain(others).collect();
                Arc::from(all)
            }
        };
        self.need = self.need.with_host(bytes);
    }
}

/// What a model without its host cache gives up, for people.
const NONE: &str = "no host cache";
