//! How much memory all models together may take: what is configured, and what other programs leave.

use super::entry::{Entry, State};
use crate::accelerators::DeviceMemory;
use crate::config::{DeviceBudget, Share};
use crate::memory::{DeviceId, Need};

/// The configured budget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Memory of the host that all models together may take; `None` for all but the reserve.
    pub host: Option<Share>,
    /// Memory of the host that stays available to other programs; `None` for a sixteenth of the memory, at least 256 MiB and at
    /// most 2 GiB.
    pub reserve: Option<Share>,
    /// Memory of devices; a device without an entry gives what was free when it was probed.
    pub devices: Vec<DeviceBudget>,
}

const MIB: u64 = 1024 * 1024;

impl MemoryBudget {
    /// Bytes that stay available to other programs on a machine with so much memory.
    pub(super) fn reserve(&self, total: u64) -> u64 {
        let usual = (total / 16).clamp(256 * MIB, 2048 * MIB).min(total / 2);
        self.reserve.map_or(usual, |reserve| reserve.of(total))
    }

    /// Bytes of devices that all models together may take.
    fn devices(&self, probed: &[DeviceMemory]) -> Vec<(DeviceId, u64)> {
        // A driver that does not tell the memory of its device limits nothing.
        let known = probed.iter().filter(|device| device.total > 0);
        let known = known.map(|device| {
            let budget = DeviceBudget::find(&self.devices, &device.name);
            let budget = budget.map(|budget| budget.of(device.total));
            (DeviceId::new(&device.name), budget.unwrap_or(device.free))
        });
        let is_known = |name: &str| {
            let mut probed = probed.iter();
            probed.any(|device| device.total > 0 && device.name.eq_ignore_ascii_case(name))
        };
        let others = self
            .devices
            .iter()
            .filter(|budget| !is_known(&budget.device));
        let others = others.filter_map(|budget| match budget.budget {
            Share::Bytes(bytes) => Some((DeviceId::new(&budget.device), bytes)),
            Share::Percent(_) => None,
        });
        known.chain(others).collect()
    }

    /// Bytes of the host that all models together may take on a machine with so much memory.
    pub(crate) fn host(&self, total: u64) -> u64 {
        let all = total.saturating_sub(self.reserve(total));
        self.host.map_or(all, |host| host.of(total).min(total))
    }
}

/// The memory of the host, as the system reports it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostMemory {
    /// All of it, or the limit of the control group.
    pub total: u64,
    /// What can be had without swapping. Page cache counts, and mapped weights with it.
    pub available: u64,
    /// Share of the last ten seconds, in percent, in which processes waited for memory (`some avg10` of PSI).
    pub stalled: f64,
}

/// Reads the memory of the host. It takes some 50 µs, so the scheduler's task calls it.
pub trait Machine: Send + Sync + 'static {
    /// The memory now; `None` where the system does not tell.
    fn memory(&self) -> Option<HostMemory>;

    /// The memory of the devices that are probed by now.
    fn devices(&self) -> Vec<DeviceMemory> {
        Vec::new()
    }
}

/// A machine that does not tell its memory.
#[cfg(test)]
pub(crate) struct Unlimited;

#[cfg(test)]
impl Machine for Unlimited {
    fn memory(&self) -> Option<HostMemory> {
        None
    }
}

/// A resource that models share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    /// The number of models.
    Models,
    /// The bytes of a device.
    Device(DeviceId),
}

/// How much of each resource there is for all models together.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) resources: Vec<Resource>,
    pub(super) amounts: Vec<u64>,
    /// Bytes of the host that the configuration and the machine allow, whatever other programs take.
    pub(super) budget: u64,
    /// What a model could have at most when all others are gone, by what other programs take now.
    pub(super) most: u64,
}

impl Limits {
    /// The limits at this moment.
    ///
    /// `memory` counts as unlimited when the system does not tell. What is available includes the mapped weights of loaded models,
    /// and a load that runs has taken an unknown part of its memory, so of the available bytes only these count as free:
    /// available − reserve − mapped weights of loaded models − all of loading ones.
    pub(super) fn now<'a>(
        max_models: usize,
        budget: &MemoryBudget,
        memory: Option<HostMemory>,
        devices: &[DeviceMemory],
        entries: impl Iterator<Item = &'a Entry>,
    ) -> Self {
        let (mut held, mut loading) = (0_u64, 0_u64);
        for entry in entries {
            let part = match entry.state {
                State::Loading { .. } => &mut loading,
                State::Ready(_) | State::Stopping => &mut held,
            };
            *part = part.saturating_add(entry.need.held());
        }
        let (allowed, left) = match memory {
            None => {
                let allowed = budget.host.map_or(u64::MAX, |host| host.of(u64::MAX));
                (allowed, allowed)
            }
            Some(memory) => {
                let reserve = budget.reserve(memory.total);
                let left = memory.available.saturating_sub(reserve);
                (budget.host(memory.total), left.saturating_add(held))
            }
        };
        let host = allowed.min(left);
        let mut resources = vec![Resource::Models, Resource::Device(DeviceId::host())];
        let mut amounts = vec![max_models as u64, host];
        for (device, bytes) in budget.devices(devices) {
            resources.push(Resource::Device(device));
            amounts.push(bytes);
        }
        Self {
            resources,
            amounts,
            budget: allowed,
            // A model that loads has taken an unknown part of its memory, which comes back too.
            most: allowed.min(left.saturating_add(loading)),
        }
    }

    /// Sets bytes of the host aside, as far as `need` still fits.
    pub(super) fn set_aside(&mut self, bytes: u64, need: u64) {
        let host = self.host();
        let amount = &mut self.amounts[host];
        *amount = amount.saturating_sub(bytes).max(need.min(*amount));
    }

    /// The column of the host.
    pub(super) fn host(&self) -> usize {
        let is_host = |resource: &Resource| *resource == Resource::Device(DeviceId::host());
        let host = self.resources.iter().position(is_host);
        host.expect("every machine has a host")
    }

    /// What a model takes of each resource.
    pub(super) fn take(&self, need: &Need) -> Vec<u64> {
        let of = |resource: &Resource| match resource {
            Resource::Models => 1,
            Resource::Device(device) => need.usage.on(device),
        };
        self.resources.iter().map(of).collect()
    }
}
