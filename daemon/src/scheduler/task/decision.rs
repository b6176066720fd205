//! The decision about one model, from the table of loaded models and the memory of the machine.

use std::time::Duration;

use tokio::time::Instant;

use super::super::LoadRequest;
use super::super::entry::{Entry, State, Waiter};
use super::super::limits::{Limits, Resource};
use super::super::room::{self, Occupancy, Occupant, Verdict, Worth};
use super::Task;
use crate::config::Group;
use crate::duration::KeepAlive;
use crate::error::Error;
use crate::memory::{Bytes, DeviceId, Need};

/// How long a request waits for memory that other programs hold, before it is refused.
const OTHERS: Duration = Duration::from_secs(2);

/// The decision about one model, with the numbers that it was made from.
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    pub(super) limits: Limits,
    pub(super) take: Vec<u64>,
    /// Its mapped weights do not all stay in memory.
    pub(super) is_tight: bool,
    /// What was given up so that it fits; empty for nothing.
    pub(super) given_up: String,
}

impl Task {
    /// Decides about a model, and lowers its settings where it does not fit otherwise, whatever stops.
    pub(super) fn decide_smaller(
        &self,
        request: &mut LoadRequest,
        instead: Option<u64>,
        kept: &[Need],
    ) -> Decision {
        let decision = self.decide(request, instead, kept);
        let starts = |decision: &Decision| decision.verdict == Verdict::Start && !decision.is_tight;
        if let (false, Some(smaller)) = (starts(&decision), request.without_host_cache()) {
            let reduced = request.reduced(smaller);
            let mut of_reduced = self.decide(&reduced, instead, kept);
            if starts(&of_reduced) {
                of_reduced.given_up.clone_from(&smaller.text);
                *request = reduced;
                return of_reduced;
            }
        }
        if !matches!(decision.verdict, Verdict::Never(_)) && !decision.is_tight {
            return decision;
        }
        for smaller in request.smaller.iter() {
            let reduced = request.reduced(smaller);
            let mut of_reduced = self.decide(&reduced, instead, kept);
            if !matches!(of_reduced.verdict, Verdict::Never(_)) && !of_reduced.is_tight {
                of_reduced.given_up.clone_from(&smaller.text);
                *request = reduced;
                return of_reduced;
            }
        }
        decision
    }

    /// Decides about a model in place of the entry `instead`, beside what is `kept` for others.
    pub(super) fn decide(
        &self,
        request: &LoadRequest,
        instead: Option<u64>,
        kept: &[Need],
    ) -> Decision {
        let others = || self.table.iter().filter(|(id, _)| Some(**id) != instead);
        let mut limits = Limits::now(
            self.options.max_loaded,
            &self.options.budget,
            self.memory,
            &self.devices,
            self.table.values(),
        );
        let mut occupants: Vec<Occupant> = others()
            .map(|(id, entry)| self.occupant(*id, entry, &limits, request))
            .collect();
        occupants.extend(kept.iter().map(|need| reservation(limits.take(need))));
        limits.set_aside(self.loader.spare_bytes(), request.need.usage.host());
        let take = limits.take(&request.need);
        let verdict = room::decide(&take, &limits.amounts, &occupants);
        let host = limits.host();
        if verdict == Verdict::Never(host) && take[host] <= limits.most {
            // A model that loads or stops holds the memory that is missing.
            return Decision {
                verdict: Verdict::Wait,
                limits,
                take,
                is_tight: false,
                given_up: String::new(),
            };
        }
        if verdict == Verdict::Never(host) && take[host] <= limits.budget {
            // Mapped weights that do not fit are read from the file again and again, which is slow and works.
            let mut least = take.clone();
            least[host] = request.need.held();
            let verdict = room::decide(&least, &limits.amounts, &occupants);
            return Decision {
                verdict,
                limits,
                take,
                is_tight: true,
                given_up: String::new(),
            };
        }
        Decision {
            verdict,
            limits,
            take,
            is_tight: false,
            given_up: String::new(),
        }
    }

    pub(super) fn occupant(
        &self,
        id: u64,
        entry: &Entry,
        limits: &Limits,
        new: &LoadRequest,
    ) -> Occupant {
        let state = match &entry.state {
            State::Loading { .. } => Occupancy::Loading,
            State::Stopping => Occupancy::Stopping,
            State::Ready(ready) if ready.leases == 0 => Occupancy::Idle,
            State::Ready(_) if entry.draining => Occupancy::Draining,
            State::Ready(_) => Occupancy::Busy,
        };
        let group = entry.request.group();
        let excludes =
            |group: &Group| matches!(group, Group::OneOf(_)) && Some(group) == new.group();
        Occupant {
            id,
            take: limits.take(&entry.need),
            state,
            may_leave: !self.is_held(entry),
            must_leave: group.is_some_and(excludes),
            worth: self.worth(entry),
            bundle: match group {
                Some(Group::Together(_)) => self
                    .table
                    .iter()
                    .find(|(_, other)| other.request.group() == group)
                    .map(|(first, _)| *first),
                _ => None,
            },
        }
    }

    /// What a model is worth now.
    pub(super) fn worth(&self, entry: &Entry) -> Worth {
        Worth {
            class: (
                entry.keep_alive == KeepAlive::Always,
                entry.request.priority(),
            ),
            value: self.popularity.value(&entry.request.key, Instant::now()),
        }
    }

    /// Whether it stays: it is pinned, or a model that leaves only together with it is.
    pub(super) fn is_held(&self, entry: &Entry) -> bool {
        let group = entry.request.group();
        let is_together = matches!(group, Some(Group::Together(_)));
        self.is_pinned(entry)
            || is_together
                && self
                    .table
                    .values()
                    .any(|other| other.request.group() == group && self.is_pinned(other))
    }

    /// Whether a request still waits for memory that other programs hold. The runner of a load that was cancelled is such a program
    /// for a moment.
    pub(super) fn waits_for_others(&self, waiter: &Waiter, error: &Error) -> bool {
        let is_taken = matches!(error, Error::NoRoom { is_taken: true, .. });
        is_taken && waiter.since.elapsed() < OTHERS
    }

    /// The error of a model that cannot be loaded, whatever stops.
    pub(super) fn impossible(&self, request: &LoadRequest, decision: &Decision) -> Option<Error> {
        let model = request.name.to_string();
        let resource = |at: usize| &decision.limits.resources[at];
        match decision.verdict {
            Verdict::Pinned(_) => Some(Error::AllPinned {
                model,
                pinned: self.pinned_names(),
            }),
            Verdict::Never(short) => Some(Error::NoRoom {
                model,
                device: match resource(short) {
                    Resource::Device(device) if *device != DeviceId::host() => device.to_string(),
                    _ => String::new(),
                },
                needed: Bytes(if decision.is_tight {
                    request.need.held()
                } else {
                    decision.take[short]
                }),
                limit: Bytes(decision.limits.amounts[short]),
                is_taken: short == decision.limits.host()
                    && decision.take[short] <= decision.limits.budget,
            }),
            _ => None,
        }
    }

    pub(super) fn pinned_names(&self) -> String {
        let pinned = self.table.values().filter(|entry| self.is_pinned(entry));
        let mut names: Vec<String> = pinned.map(|entry| entry.request.name.to_string()).collect();
        names.sort();
        names.join(", ")
    }
}

/// Room that is kept for a model that waits: it counts, and cannot be had.
fn reservation(take: Vec<u64>) -> Occupant {
    Occupant {
        id: 0,
        take,
        state: Occupancy::Loading,
        may_leave: true,
        must_leave: false,
        worth: Worth {
            class: (false, 0),
            value: 0.0,
        },
        bundle: None,
    }
}
