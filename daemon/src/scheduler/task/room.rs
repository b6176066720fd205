//! Loads models where there is room, and makes room for them.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use api::{EventFacts, EventKind};
use futures::FutureExt;
use registry::{ModelKey, ModelName};
use runner_protocol::LoadSettings;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::entry::{Entry, Ready, State, Waiter};
use super::super::limits::{Limits, Resource};
use super::super::room::{self, Occupancy, Occupant, Verdict, Worth};
use super::super::{Lease, LoadRequest};
use super::{Notice, Task};
use crate::config::Group;
use crate::duration::KeepAlive;
use crate::error::Error;
use crate::memory::{Bytes, DeviceId, Need};

/// After this wait busy models are drained, and the room that becomes free is kept for the request.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a request waits for memory that other programs hold, before it is refused.
const OTHERS: Duration = Duration::from_secs(2);

/// Time between two looks while it waits.
const RECHECK: Duration = Duration::from_millis(100);

/// After this wait a request goes before requests of a higher priority.
const LONGEST_BEHIND: Duration = Duration::from_secs(30);

/// The decision about one model, with the numbers that it was made from.
struct Decision {
    verdict: Verdict,
    limits: Limits,
    take: Vec<u64>,
    /// Its mapped weights do not all stay in memory.
    is_tight: bool,
    /// What was given up so that it fits; empty for nothing.
    given_up: String,
}

impl Task {
    /// Gives a lease to a waiter.
    pub(super) fn grant(&mut self, id: u64, waiter: Waiter) {
        let Some(entry) = self.table.get_mut(&id) else {
            return;
        };
        let State::Ready(ready) = &mut entry.state else {
            return;
        };
        if waiter.is_gone() {
            return;
        }
        if let Some(stay) = waiter.request.keep_alive {
            entry.keep_alive = stay;
        }
        ready.leases += 1;
        let lease = Lease {
            entry: id,
            runner: ready.runner.clone(),
            loaded: ready.loaded.clone(),
            notices: self.notices.clone(),
        };
        // If the waiter was dropped just now, the lease is dropped and released.
        let _ = waiter.reply.send(Ok(lease));
    }

    /// Stops models whose idle time is over.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        let over: Vec<u64> = self
            .expiries()
            .filter(|(_, at)| *at <= now)
            .map(|(id, _)| id)
            .collect();
        for id in over {
            let why = match self.table.get(&id).map(|entry| entry.keep_alive) {
                Some(KeepAlive::For(stay)) if !stay.is_zero() => {
                    format!("it was not used for {} s", stay.as_secs_f64())
                }
                _ => "a client asked for it".into(),
            };
            self.stop(id, why);
        }
    }

    /// Serves the waiting requests as far as possible: pinned models first, then by priority and arrival.
    pub(super) fn advance(&mut self) {
        self.pending.retain(|waiter| !waiter.is_gone());
        self.cancel_abandoned_loads();
        self.recheck = None;
        if !self.pending.is_empty() || !self.shrunk.is_empty() {
            self.memory = self.machine.memory();
            self.devices = self.machine.devices();
        }
        self.refuse_waiters_of_open_breakers();
        self.end_drains();
        let keys = self.waiting_keys();
        self.second_tries.retain(|key, _| keys.contains(key));
        // What models that wait for room will take.
        let mut kept = Vec::new();
        for key in keys {
            let found = self
                .table
                .iter()
                .find(|(_, entry)| entry.request.key == key);
            match found.map(|(id, _)| *id) {
                Some(id) => self.serve(id, &key),
                None if self.waits_for_memory(&key) => kept.extend(self.need_of(&key)),
                None => self.start_or_make_room(&key, &mut kept),
            }
        }
        self.load_shrunk(&kept);
    }

    /// The models with waiting requests, in the order in which they are served.
    fn waiting_keys(&self) -> Vec<ModelKey> {
        let mut keys: Vec<(ModelKey, i32)> = Vec::new();
        for waiter in &self.pending {
            let has_waited = waiter.since.elapsed() >= LONGEST_BEHIND;
            let priority = if has_waited {
                i32::MAX
            } else {
                waiter.request.priority()
            };
            match keys.iter_mut().find(|(key, _)| *key == waiter.request.key) {
                Some((_, highest)) => *highest = (*highest).max(priority),
                None => keys.push((waiter.request.key.clone(), priority)),
            }
        }
        // Room that becomes free goes to the request that came first, but a pinned model that is loaded anew keeps its own.
        keys.sort_by_key(|(key, priority)| (!self.pins.contains_key(key), -i64::from(*priority)));
        keys.into_iter().map(|(key, _)| key).collect()
    }

    /// Gives leases on a loaded model to its waiters, in order. The first waiter that needs a reload stops the model once it is idle;
    /// until then the later waiters wait too.
    fn serve(&mut self, id: u64, key: &ModelKey) {
        let same = |waiter: &Waiter| waiter.request.key == *key;
        while let Some(first) = self.pending.iter().position(same) {
            let Some(entry) = self.table.get(&id) else {
                return;
            };
            // It loads or stops, and a report follows.
            if entry.ready().is_none() || entry.draining {
                return;
            }
            if entry.serves(&self.pending[first].request) {
                let waiter = self.pending.remove(first);
                self.grant(id, waiter);
                continue;
            }
            let mut anew = self.pending[first].request.clone();
            let decision = self.decide_smaller(&mut anew, Some(id), &[]);
            if !decision.given_up.is_empty() && entry.serves(&anew) {
                // Nothing larger fits.
                let waiter = self.pending.remove(first);
                self.grant(id, waiter);
                continue;
            }
            if !entry.is_idle() {
                return;
            }
            if let Some(error) = self.impossible(&anew, &decision) {
                if self.waits_for_others(&self.pending[first], &error) {
                    self.recheck = Some(Instant::now() + RECHECK);
                    return;
                }
                // The loaded model stays for the requests that it can serve.
                let waiter = self.pending.remove(first);
                self.refuse(waiter, error);
                continue;
            }
            let Some(entry) = self.table.get(&id) else {
                return;
            };
            let (loaded, need) = (entry.request.settings, entry.need.clone());
            let asked = self.pending[first].request.settings;
            for waiter in self.pending.iter_mut().filter(|waiter| same(waiter)) {
                waiter.request.keep(loaded, &need);
            }
            self.stop(id, reload_text(loaded, asked));
            return;
        }
    }

    /// Cancels loads without waiting requests.
    fn cancel_abandoned_loads(&mut self) {
        let events = &self.events;
        self.table.retain(|_, entry| {
            let is_abandoned = entry.is_abandoned();
            if let (true, State::Loading { cancel, .. }) = (is_abandoned, &entry.state) {
                tracing::info!(model = %entry.request.name, "load cancelled: no request waits for it");
                events.record(
                    &entry.request.name,
                    EventKind::LoadCancelled,
                    "the load is cancelled: no request waits for it",
                    EventFacts::default(),
                );
                cancel.cancel();
            }
            !is_abandoned
        });
    }

    /// A breaker that opened also refuses the requests that wait already.
    fn refuse_waiters_of_open_breakers(&mut self) {
        let waiting = std::mem::take(&mut self.pending);
        for waiter in waiting {
            match self.admit(&waiter.request) {
                Ok(()) => self.pending.push(waiter),
                Err(error) => self.refuse(waiter, error),
            }
        }
    }

    /// Whether its second try waits for the memory of other models.
    fn waits_for_memory(&self, key: &ModelKey) -> bool {
        let awaited = self.second_tries.get(key);
        awaited.is_some_and(|ids| ids.iter().any(|id| self.table.contains_key(id)))
    }

    /// A draining model takes requests again when it is pinned, or when no request waits for its room any more.
    fn end_drains(&mut self) {
        for entry in self.table.values_mut().filter(|entry| entry.draining) {
            let key = &entry.request.key;
            let others = |waiter: &Waiter| waiter.request.key != *key;
            entry.draining = !self.pins.contains_key(key) && self.pending.iter().any(others);
        }
    }

    /// The largest need of the waiting requests for a model.
    fn need_of(&self, key: &ModelKey) -> Option<Need> {
        let waiting = self
            .pending
            .iter()
            .filter(|waiter| waiter.request.key == *key);
        waiting
            .map(|waiter| waiter.request.need.clone())
            .reduce(|a, b| a.max(&b))
    }

    /// Starts the load of a model, or makes room for it. `kept` is what models before it in the queue will take.
    fn start_or_make_room(&mut self, key: &ModelKey, kept: &mut Vec<Need>) {
        let Some(mut request) = self.load_request(key) else {
            return;
        };
        let decision = self.decide_smaller(&mut request, None, kept);
        if let Some(error) = self.impossible(&request, &decision) {
            let mut waiting = self
                .pending
                .iter()
                .filter(|waiter| waiter.request.key == *key);
            if waiting.any(|waiter| self.waits_for_others(waiter, &error)) {
                self.recheck = Some(Instant::now() + RECHECK);
                kept.push(request.need);
            } else {
                self.refuse_all(key, &error);
            }
            return;
        }
        match decision.verdict.clone() {
            Verdict::Start => {
                self.start(request, &decision);
            }
            Verdict::Wait => kept.push(request.need),
            Verdict::Stop(ids) if self.shrink(&ids, &request, &decision) => kept.push(request.need),
            Verdict::Stop(ids) => {
                for id in ids {
                    let why = self.eviction_text(id, &request, &decision);
                    self.stop(id, why);
                }
                kept.push(request.need);
            }
            Verdict::Busy(ids) => {
                let mut waiting = self
                    .pending
                    .iter()
                    .filter(|waiter| waiter.request.key == *key);
                if waiting.any(|waiter| waiter.since.elapsed() >= PATIENCE) {
                    ids.into_iter().for_each(|id| self.drain(id, &request.name));
                    kept.push(request.need);
                }
            }
            Verdict::Pinned(_) | Verdict::Never(_) => {}
        }
    }

    /// The load for the first waiter and all others that the same settings serve, with the largest context among them.
    fn load_request(&self, key: &ModelKey) -> Option<LoadRequest> {
        let mut waiting = self
            .pending
            .iter()
            .filter(|waiter| waiter.request.key == *key);
        let mut request = waiting.next()?.request.clone();
        for waiter in waiting {
            let other = &waiter.request;
            if other.required.is_met_by(request.settings)
                && other.settings.context > request.settings.context
            {
                request.take_context(other);
            }
        }
        Some(request)
    }

    /// Decides about a model, and lowers its settings where it does not fit otherwise, whatever stops.
    fn decide_smaller(
        &self,
        request: &mut LoadRequest,
        instead: Option<u64>,
        kept: &[Need],
    ) -> Decision {
        let decision = self.decide(request, instead, kept);
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
    fn decide(&self, request: &LoadRequest, instead: Option<u64>, kept: &[Need]) -> Decision {
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

    fn occupant(&self, id: u64, entry: &Entry, limits: &Limits, new: &LoadRequest) -> Occupant {
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
            worth: Worth {
                class: (
                    entry.keep_alive == KeepAlive::Always,
                    entry.request.priority(),
                ),
                value: self.popularity.value(&entry.request.key, Instant::now()),
            },
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

    /// Whether a request still waits for memory that other programs hold. The runner of a load that was cancelled is such a program
    /// for a moment.
    fn waits_for_others(&self, waiter: &Waiter, error: &Error) -> bool {
        let is_taken = matches!(error, Error::NoRoom { is_taken: true, .. });
        is_taken && waiter.since.elapsed() < OTHERS
    }

    /// Whether it stays: it is pinned, or a model that leaves only together with it is.
    fn is_held(&self, entry: &Entry) -> bool {
        let group = entry.request.group();
        let is_together = matches!(group, Some(Group::Together(_)));
        self.is_pinned(entry)
            || is_together
                && self
                    .table
                    .values()
                    .any(|other| other.request.group() == group && self.is_pinned(other))
    }

    /// The error of a model that cannot be loaded, whatever stops.
    fn impossible(&self, request: &LoadRequest, decision: &Decision) -> Option<Error> {
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

    fn pinned_names(&self) -> String {
        let pinned = self.table.values().filter(|entry| self.is_pinned(entry));
        let mut names: Vec<String> = pinned.map(|entry| entry.request.name.to_string()).collect();
        names.sort();
        names.join(", ")
    }

    /// Refuses all requests for a model.
    fn refuse_all(&mut self, key: &ModelKey, error: &Error) {
        let same = |waiter: &mut Waiter| waiter.request.key == *key;
        let refused: Vec<Waiter> = self.pending.extract_if(.., same).collect();
        for waiter in refused {
            self.refuse(waiter, error.clone());
        }
    }

    /// Lets a busy model take no new requests.
    fn drain(&mut self, id: u64, other: &ModelName) {
        let Some(entry) = self.table.get_mut(&id) else {
            return;
        };
        tracing::info!(model = %entry.request.name, "takes no new requests: its memory is needed");
        entry.draining = true;
        let model = entry.request.name.clone();
        let text = format!(
            "takes no new requests: '{other}' has waited for its memory for {} s",
            PATIENCE.as_secs()
        );
        self.record(&model, EventKind::Draining, text);
    }

    /// Why an idle model is unloaded for another one.
    fn eviction_text(&self, id: u64, new: &LoadRequest, decision: &Decision) -> String {
        let name = &new.name;
        let Some((entry, ready)) = self
            .table
            .get(&id)
            .and_then(|entry| Some((entry, entry.ready()?)))
        else {
            return format!("'{name}' needs its memory");
        };
        if entry.request.group().is_some()
            && matches!(new.group(), Some(Group::OneOf(_)))
            && entry.request.group() == new.group()
        {
            return format!("'{name}' is loaded, and its group has one model at a time");
        }
        format!(
            "'{name}' needs {}: this one frees {}, was not used for {:.1} s and loads in {:.2} s",
            self.shortage_text(decision),
            Bytes(entry.need.usage.total()),
            ready.idle_since.elapsed().as_secs_f64(),
            ready.load_time.as_secs_f64()
        )
    }

    /// What is short for a model: `a slot (3 of 3 are taken)`, or `2.1 GB of CPU memory (1.4 GB of 8.0 GB are free)`.
    fn shortage_text(&self, decision: &Decision) -> String {
        let Decision { limits, take, .. } = decision;
        let mut used = vec![0_u64; take.len()];
        for entry in self.table.values() {
            let taken = limits.take(&entry.need);
            used.iter_mut()
                .zip(taken)
                .for_each(|(used, taken)| *used = used.saturating_add(taken));
        }
        let short = (0..take.len())
            .rev()
            .find(|&r| used[r].saturating_add(take[r]) > limits.amounts[r]);
        match short.map(|r| (r, &limits.resources[r])) {
            Some((r, Resource::Device(device))) => format!(
                "{} of {device} memory and {} of {} are free",
                Bytes(take[r]),
                Bytes(limits.amounts[r].saturating_sub(used[r])),
                Bytes(limits.amounts[r])
            ),
            Some((r, Resource::Models)) => {
                format!("a slot and {} of {} are taken", used[r], limits.amounts[r])
            }
            None => "its memory".into(),
        }
    }

    /// Stops idle models to load them anew with smaller settings, where that makes room for another one. False where it does not.
    fn shrink(&mut self, ids: &[u64], new: &LoadRequest, decision: &Decision) -> bool {
        if !self.options.shrink {
            return false;
        }
        let mut reduced = Vec::new();
        for id in ids {
            let entry = self.table.get(id);
            let Some(smaller) = entry.and_then(|entry| entry.request.smaller.last().cloned())
            else {
                return false;
            };
            reduced.push((*id, smaller));
        }
        let Decision { limits, take, .. } = decision;
        let need_of = |id: &u64, entry: &Entry| {
            let smaller = reduced.iter().find(|(reduced, _)| reduced == id);
            limits.take(smaller.map_or(&entry.need, |(_, smaller)| &smaller.need))
        };
        let mut wanted = take.clone();
        for (id, entry) in &self.table {
            let taken = need_of(id, entry);
            wanted
                .iter_mut()
                .zip(taken)
                .for_each(|(sum, bytes)| *sum = sum.saturating_add(bytes));
        }
        if wanted
            .iter()
            .zip(&limits.amounts)
            .any(|(wanted, limit)| wanted > limit)
        {
            return false;
        }
        for (id, smaller) in reduced {
            let Some(entry) = self.table.get(&id) else {
                continue;
            };
            self.shrunk
                .push((entry.request.reduced(&smaller), entry.keep_alive));
            let why = format!(
                "'{}' needs its memory; it is loaded anew with {}",
                new.name, smaller.text
            );
            self.stop(id, why);
        }
        true
    }

    /// Loads the models anew that were stopped to be shrunk, after the requests that wait, and only where there is room.
    fn load_shrunk(&mut self, kept: &[Need]) {
        for (request, keep_alive) in std::mem::take(&mut self.shrunk) {
            let mut entries = self.table.values();
            match entries
                .find(|entry| entry.request.key == request.key)
                .map(|entry| &entry.state)
            {
                Some(State::Stopping) => self.shrunk.push((request, keep_alive)),
                // A request has loaded it already.
                Some(_) => {}
                None => {
                    let decision = self.decide(&request, None, kept);
                    match decision.verdict {
                        _ if self.closing.is_some() => {}
                        Verdict::Start => {
                            let id = self.start(request, &decision);
                            if let Some(entry) = self.table.get_mut(&id) {
                                entry.is_shrunk = true;
                                entry.keep_alive = keep_alive;
                            }
                        }
                        Verdict::Wait => self.shrunk.push((request, keep_alive)),
                        _ => {
                            let text = "is not loaded anew: its memory went to another model";
                            self.record(&request.name, EventKind::LoadCancelled, text);
                        }
                    }
                }
            }
        }
    }

    /// Starts the load that was decided about, for the requests that it serves, and returns its entry.
    fn start(&mut self, request: LoadRequest, decision: &Decision) -> u64 {
        let key = &request.key;
        let waiters: Vec<Waiter> = self
            .pending
            .extract_if(.., |waiter| {
                let other = &waiter.request;
                other.key == *key && other.required.is_met_by(request.settings)
            })
            .collect();
        let is_second_try = self.second_tries.remove(key).is_some();
        let id = self.next;
        self.next += 1;
        let cancel = CancellationToken::new();
        let loading = self.loader.load(request.clone());
        let context = request.settings.context;
        let text = self.start_text(&request, decision);
        let entry = Entry {
            need: request.need.clone(),
            keep_alive: request
                .configured
                .keep_alive
                .unwrap_or(self.options.keep_alive),
            request,
            state: State::Loading {
                waiters,
                cancel: cancel.clone(),
                since: Instant::now(),
            },
            draining: false,
            is_shrunk: false,
            is_second_try,
            gone: Vec::new(),
        };
        tracing::info!(model = %entry.request.name, context, "loading");
        let facts = EventFacts {
            context: Some(context),
            bytes: Some(entry.need.usage.total()),
            ..EventFacts::default()
        };
        self.events
            .record(&entry.request.name, EventKind::Loading, text, facts);
        self.table.insert(id, entry);
        let notices = self.notices.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                // A panic of the load is an error for its waiters.
                result = AssertUnwindSafe(loading).catch_unwind() => {
                    let result = Box::new(result.unwrap_or(Err(Error::Internal)));
                    let _ = notices.send(Notice::Loaded { entry: id, result });
                }
            }
        });
        id
    }

    /// What is loaded, and the room for it.
    fn start_text(&self, request: &LoadRequest, decision: &Decision) -> String {
        let context = request.settings.context;
        let needs: Vec<String> = request
            .need
            .usage
            .iter()
            .map(|(device, bytes)| format!("{} on {device}", Bytes(bytes)))
            .collect();
        let needs = match needs.as_slice() {
            [] => String::new(),
            needs => format!(" and {}", needs.join(", ")),
        };
        let beside = self.table.len();
        let tight = if decision.is_tight {
            "; other programs leave too little memory, so its weights are read from the disk again and again"
        } else {
            ""
        };
        {
            let given_up = match decision.given_up.as_str() {
                "" => String::new(),
                text => format!(
                    "; with {text}, because {} are all that models may take",
                    Bytes(decision.limits.amounts[decision.limits.host()])
                ),
            };
            format!(
                "loads with a context of {context} tokens{needs}, beside {beside} other models{tight}{given_up}"
            )
        }
    }

    /// Stops the runner of a ready model. The task that watches it reports its end.
    pub(super) fn stop(&mut self, id: u64, why: String) {
        let Some(entry) = self.table.get_mut(&id) else {
            return;
        };
        if !matches!(entry.state, State::Ready(_)) {
            return;
        }
        tracing::info!(model = %entry.request.name, why, "unloading");
        self.events.record(
            &entry.request.name,
            EventKind::Unloading,
            format!("is unloaded: {why}"),
            EventFacts::default(),
        );
        if let State::Ready(ready) = std::mem::replace(&mut entry.state, State::Stopping) {
            let grace = self.options.stop_grace;
            let Ready { runner, saver, .. } = *ready;
            self.tasks.spawn(async move {
                match saver {
                    Some(saver) => saver.shutdown_gracefully(&runner, grace).await,
                    None => drop(runner.stop(grace).await),
                }
            });
        }
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

/// Why a loaded model is loaded anew.
fn reload_text(loaded: LoadSettings, asked: LoadSettings) -> String {
    if asked.context > loaded.context {
        return format!(
            "a request needs a context of {} tokens, and it is loaded with {}",
            asked.context, loaded.context
        );
    }
    "a request needs other settings of the load".into()
}
