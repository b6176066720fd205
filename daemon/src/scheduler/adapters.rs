//! The adapters that a runner has, for all models that share it.

use std::sync::Arc;

use registry::{Digest, ModelKey, ModelName};
use runner_protocol::{LoadSettings, MAX_ADAPTERS};

use super::{LoadRequest, OnCpu, Smaller};
use crate::memory::Need;

/// An adapter that a load takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadAdapter {
    /// Its blob.
    pub digest: Digest,
    /// A model that has it.
    pub model: ModelName,
    /// Its size.
    pub bytes: u64,
    /// A request waits for it. The others are for requests to come.
    pub is_needed: bool,
}

impl LoadRequest {
    /// Takes these adapters. Adapters that no request needs are given up first where memory is short.
    #[must_use]
    pub fn with_adapters(mut self, adapters: Vec<LoadAdapter>) -> Self {
        let (need, smaller) = (&mut self.need, &mut self.smaller);
        count(&adapters, self.settings, need, smaller);
        self.fallback = self.fallback.map(|cpu| {
            let mut cpu = OnCpu::clone(&cpu);
            let (need, smaller) = (&mut cpu.need, &mut cpu.smaller);
            count(&adapters, cpu.settings, need, smaller);
            Arc::new(cpu)
        });
        self.adapters = adapters;
        self
    }

    /// The adapters of its model.
    pub(super) fn needed_adapters(&self) -> impl Iterator<Item = &LoadAdapter> {
        self.adapters.iter().filter(|adapter| adapter.is_needed)
    }

    /// Whether it takes adapters that no request needs.
    pub(super) fn takes_others(&self) -> bool {
        self.adapters.iter().any(|adapter| !adapter.is_needed)
    }

    /// Gives up the adapters that no request needs.
    pub(super) fn drop_others(&mut self) {
        self.adapters.retain(|adapter| adapter.is_needed);
    }

    /// The same request, to be loaded without the adapters of other models.
    #[must_use]
    pub(super) fn apart(mut self) -> Self {
        self.drop_others();
        self.apart = true;
        self
    }

    /// Whether its runner has all adapters that another request needs.
    pub(super) fn has_adapters_of(&self, other: &Self) -> bool {
        let mut needed = other.needed_adapters();
        needed.all(|adapter| self.adapters.iter().any(|it| it.digest == adapter.digest))
    }

    /// Takes over what another request for the same base needs, if there is room for all of it.
    pub(super) fn take_adapters(&mut self, other: &Self) {
        let is_kept = |it: &LoadAdapter| {
            it.is_needed || other.needed_adapters().any(|new| new.digest == it.digest)
        };
        let is_new = |new: &&LoadAdapter| self.adapters.iter().all(|it| it.digest != new.digest);
        let new: Vec<LoadAdapter> = other.needed_adapters().filter(is_new).cloned().collect();
        let kept = self.adapters.iter().filter(|it| is_kept(it)).count();
        if kept + new.len() > MAX_ADAPTERS {
            return;
        }
        let mut kept = 0_u64;
        for adapter in self.adapters.iter_mut().filter(|it| !it.is_needed) {
            adapter.is_needed = other
                .needed_adapters()
                .any(|new| new.digest == adapter.digest);
            if adapter.is_needed {
                kept = kept.saturating_add(adapter.bytes);
            }
        }
        self.keep_bytes(kept);
        // The adapters that no request needs make room from the end, where the least recently used ones are.
        while self.adapters.len() + new.len() > MAX_ADAPTERS
            && let Some(at) = self.adapters.iter().rposition(|it| !it.is_needed)
        {
            self.adapters.remove(at);
        }
        self.add_bytes(new.iter().fold(0, |sum, it| sum.saturating_add(it.bytes)));
        self.adapters.extend(new);
    }

    /// What a crash of this request counts against: the base with the adapters of its model, so that an adapter that crashes a runner does
    /// not close the other models of the base.
    pub(super) fn crash_key(&self) -> ModelKey {
        self.key.with(self.needed_adapters().map(|it| it.digest))
    }

    /// Adds the bytes of adapters that are needed now to the smaller settings that gave them up.
    fn keep_bytes(&mut self, bytes: u64) {
        keep(bytes, &mut self.smaller);
        if let Some(cpu) = self.fallback.as_mut().map(Arc::make_mut) {
            keep(bytes, &mut cpu.smaller);
        }
    }

    /// Adds the bytes of adapters that it takes over.
    fn add_bytes(&mut self, bytes: u64) {
        add(bytes, &mut self.need, &mut self.smaller);
        if let Some(cpu) = self.fallback.as_mut().map(Arc::make_mut) {
            add(bytes, &mut cpu.need, &mut cpu.smaller);
        }
    }
}

/// Adds the bytes of the adapters to `need`, the memory of a load with these settings. A load without the adapters of other models becomes
/// the first entry of `smaller`.
fn count(
    adapters: &[LoadAdapter],
    settings: LoadSettings,
    need: &mut Need,
    smaller: &mut Arc<[Smaller]>,
) {
    let bytes = |needed: bool| {
        let those = adapters.iter().filter(|it| it.is_needed == needed);
        those.fold(0, |sum: u64, it| sum.saturating_add(it.bytes))
    };
    add(bytes(true), need, smaller);
    if adapters.iter().all(|adapter| adapter.is_needed) {
        return;
    }
    let without = Smaller {
        settings,
        sequences: None,
        need: need.clone(),
        host_cache: None,
        text: WITHOUT_OTHERS.to_owned(),
        drops_adapters: true,
    };
    let others = smaller.iter().cloned().map(|smaller| Smaller {
        text: format!("{}, {WITHOUT_OTHERS}", smaller.text),
        drops_adapters: true,
        ..smaller
    });
    *smaller = std::iter::once(without).chain(others).collect();
    *need = need.with_host(bytes(false));
}

/// Adds bytes of the host to the memory of a load and of the smaller ones.
fn add(bytes: u64, need: &mut Need, smaller: &mut Arc<[Smaller]>) {
    if bytes == 0 {
        return;
    }
    *need = need.with_host(bytes);
    let all = smaller.iter().cloned().map(|smaller| Smaller {
        need: smaller.need.with_host(bytes),
        ..smaller
    });
    *smaller = all.collect();
}

/// Adds bytes to the smaller settings that give up adapters.
fn keep(bytes: u64, smaller: &mut Arc<[Smaller]>) {
    if bytes == 0 {
        return;
    }
    let all = smaller.iter().cloned().map(|smaller| Smaller {
        need: match smaller.drops_adapters {
            true => smaller.need.with_host(bytes),
            false => smaller.need,
        },
        ..smaller
    });
    *smaller = all.collect();
}

/// What is given up without the adapters that no request needs.
const WITHOUT_OTHERS: &str = "without the adapters of other models";
