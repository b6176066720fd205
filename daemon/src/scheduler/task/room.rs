//! Loads models where there is room, and makes room for them.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use api::{EventFacts, EventKind};
use futures::FutureExt;
use registry::{ModelKey, ModelName};
use runner_protocol::{Failure, FailureKind, RefusedAdapter};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::entry::{Entry, Ready, State, Waiter};
use super::super::room::Verdict;
use super::super::{Lease, LoadRequest};
use super::decision::Decision;
use super::reasons::reload_text;
use super::{Notice, Task};
use crate::error::Error;
use crate::memory::Need;

/// After this wait busy models are drained, and the room that becomes free is kept for the request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time between two looks while it waits.
const RECHECK: Duration = Duration::from_millis(100);

/// After this wait a request goes before requests of a higher priority.
const LONGEST_BEHIND: Duration = Duration::from_secs(30);

impl Task {
    /// Gives a lease to a waiter.
    pub(super) fn grant(&mut self, id: u64, waiter: Waiter) {
        let Some(entry) = self.table.get_mut(&id) else {
            return;
        };
        let refused = entry.refused_adapter(&waiter.request);
        let refused = refused.map(|adapter| unfit(&waiter.request, adapter));
        let State::Ready(ready) = &mut entry.state else {
            return;
        };
        if waiter.is_gone() {
            return;
        }
        if let Some(refused) = refused {
            self.refuse(waiter, refused);
            return;
        }
        if let Some(stay) = waiter.request.keep_alive {
            entry.keep_alive = stay;
        }
        ready.leases += 1;
        ready.last_user = waiter.request.crash_key();
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
            if let Some(entry) = self.table.get(&id) {
                let why = self.expiry_text(entry);
                self.stop(id, why);
            }
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
            let lacks_adapter = !entry.has_adapters_of(&self.pending[first].request);
            for waiter in self.pending.iter_mut().filter(|waiter| same(waiter)) {
                waiter.request.keep(loaded, &need);
            }
            self.stop(id, reload_text(loaded, asked, lacks_adapter));
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

    /// The load for the first waiter and all others that the same settings serve, with the largest context among them and the adapters
    /// of all.
    fn load_request(&self, key: &ModelKey) -> Option<LoadRequest> {
        let mut waiting = self
            .pending
            .iter()
            .filter(|waiter| waiter.request.key == *key);
        let mut request = waiting.next()?.request.clone();
        for waiter in waiting {
            let other = &waiter.request;
            if !request.loads_with(other) {
                continue;
            }
            if other.settings.context > request.settings.context {
                request.take_context(other);
            }
            request.take_adapters(other);
        }
        Some(request)
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

    /// Starts the load that was decided about, for the requests that it serves, and returns its entry.
    pub(super) fn start(&mut self, request: LoadRequest, decision: &Decision) -> u64 {
        let key = &request.key;
        let waiters: Vec<Waiter> = self
            .pending
            .extract_if(.., |waiter| {
                let other = &waiter.request;
                other.key == *key && request.loads_with(other) && request.has_adapters_of(other)
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

/// The error of a request whose adapter does not fit the weights.
fn unfit(request: &LoadRequest, refused: &RefusedAdapter) -> Error {
    let RefusedAdapter { digest, reason } = refused;
    let message = format!("its adapter sha256:{digest} does not fit its weights: {reason}");
    let failure = Failure::new(FailureKind::Unsupported, message);
    Error::runner(&request.name, supervisor::Error::Failed(failure))
}
