//! Loads models into free slots, and makes room for them.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use api::{EventFacts, EventKind};
use futures::FutureExt;
use registry::{ModelKey, ModelName};
use runner_protocol::LoadSettings;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::Lease;
use super::super::entry::{Entry, Ready, State, Waiter};
use super::{Notice, Task};
use crate::duration::KeepAlive;
use crate::error::Error;

/// After this wait a busy model is drained to free its model slot.
const PATIENCE: Duration = Duration::from_secs(5);

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

    /// Serves the waiting requests in order of arrival, as far as possible.
    pub(super) fn advance(&mut self) {
        self.pending.retain(|waiter| !waiter.is_gone());
        self.cancel_abandoned_loads();
        self.refuse_waiters_of_open_breakers();
        self.end_drains();
        let mut keys: Vec<ModelKey> = Vec::new();
        for waiter in &self.pending {
            if !keys.contains(&waiter.request.key) {
                keys.push(waiter.request.key.clone());
            }
        }
        self.second_tries.retain(|key, _| keys.contains(key));
        // A slot that becomes free goes to the request that came first, but a pinned model that is loaded anew keeps its own.
        keys.sort_by_key(|key| !self.pins.contains_key(key));
        let mut leaving = self.count_stopping();
        for key in keys {
            match self
                .table
                .iter()
                .find(|(_, entry)| entry.request.key == key)
            {
                Some((id, _)) => self.serve(*id, &key),
                None if self.waits_for_memory(&key) => leaving = leaving.saturating_sub(1),
                None if self.table.len() < self.options.max_loaded => self.start(&key),
                None if leaving > 0 => leaving -= 1,
                None => self.make_room(&key),
            }
        }
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
            if entry.is_idle() {
                let loaded = entry.request.settings;
                let asked = self.pending[first].request.settings;
                for waiter in self.pending.iter_mut().filter(|waiter| same(waiter)) {
                    waiter.request.keep(loaded);
                }
                self.stop(id, reload_text(loaded, asked));
            }
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

    /// A draining model takes requests again when it is pinned, or when no request waits for its slot any more.
    fn end_drains(&mut self) {
        for entry in self.table.values_mut().filter(|entry| entry.draining) {
            let key = &entry.request.key;
            let others = |waiter: &Waiter| waiter.request.key != *key;
            entry.draining = !self.pins.contains_key(key) && self.pending.iter().any(others);
        }
    }

    /// Stops an idle model. If there is none and the wait was long, drains a busy one. If all are pinned, refuses the requests.
    fn make_room(&mut self, key: &ModelKey) {
        let mut waiting = self
            .pending
            .iter()
            .filter(|waiter| waiter.request.key == *key);
        let long = waiting
            .clone()
            .any(|waiter| waiter.since.elapsed() >= PATIENCE);
        let Some(name) = waiting.next().map(|waiter| waiter.request.name.clone()) else {
            return;
        };
        if let Some(id) = self.least_valuable(Entry::is_idle) {
            let why = self.slot_text(id, &name);
            self.stop(id, why);
            return;
        }
        if self.table.values().all(|entry| self.is_pinned(entry)) {
            self.refuse_for_pins(key);
            return;
        }
        if !long || self.table.values().any(|entry| entry.draining) {
            return;
        }
        let busy = self.least_valuable(|entry| entry.ready().is_some());
        if let Some(entry) = busy.and_then(|id| self.table.get_mut(&id)) {
            tracing::info!(model = %entry.request.name, "takes no new requests: its slot is needed");
            entry.draining = true;
            let model = entry.request.name.clone();
            let text = format!(
                "takes no new requests: '{name}' has waited for a slot for {} s",
                PATIENCE.as_secs()
            );
            self.record(&model, EventKind::Draining, text);
        }
    }

    /// Why an idle model leaves its slot.
    fn slot_text(&self, id: u64, other: &ModelName) -> String {
        let ready = self.table.get(&id).and_then(Entry::ready);
        let Some(ready) = ready else {
            return format!("'{other}' needs its slot");
        };
        format!(
            "'{other}' needs its slot: {} of {} models are loaded, and this one was not used for {:.1} s and loads in {:.2} s",
            self.table.len(),
            self.options.max_loaded,
            ready.idle_since.elapsed().as_secs_f64(),
            ready.load_time.as_secs_f64()
        )
    }

    /// Refuses the requests for a model that no slot can become free for.
    fn refuse_for_pins(&mut self, key: &ModelKey) {
        let loaded = self.table.values();
        let mut pinned: Vec<String> = loaded.map(|entry| entry.request.name.to_string()).collect();
        pinned.sort();
        let refused: Vec<Waiter> = self
            .pending
            .extract_if(.., |waiter| waiter.request.key == *key)
            .collect();
        for waiter in refused {
            let error = Error::AllPinned {
                model: waiter.request.name.to_string(),
                pinned: pinned.join(", "),
            };
            self.refuse(waiter, error);
        }
    }

    fn count_stopping(&self) -> usize {
        self.table
            .values()
            .filter(|entry| matches!(entry.state, State::Stopping))
            .count()
    }

    /// The least valuable of these models, pinned ones aside. A model with unlimited keep-alive is chosen last.
    fn least_valuable(&self, among: impl Fn(&Entry) -> bool) -> Option<u64> {
        let now = Instant::now();
        let rank = |entry: &Entry| (entry.keep_alive == KeepAlive::Always, entry.value(now));
        self.table
            .iter()
            .filter(|(_, entry)| among(entry) && !self.is_pinned(entry))
            .min_by(|(_, a), (_, b)| {
                let (a, b) = (rank(a), rank(b));
                a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
            })
            .map(|(id, _)| *id)
    }

    /// Loads a model for its first waiter and all others that the same settings serve, with the largest context among them.
    fn start(&mut self, key: &ModelKey) {
        let first = self
            .pending
            .iter()
            .find(|waiter| waiter.request.key == *key);
        let Some(mut request) = first.map(|waiter| waiter.request.clone()) else {
            return;
        };
        let waiters: Vec<Waiter> = self
            .pending
            .extract_if(.., |waiter| {
                let other = &waiter.request;
                other.key == *key && other.required.is_met_by(request.settings)
            })
            .collect();
        let contexts = waiters.iter().map(|waiter| waiter.request.settings.context);
        request.settings.context = contexts.max().unwrap_or(request.settings.context);
        let id = self.next;
        self.next += 1;
        let cancel = CancellationToken::new();
        let loading = self.loader.load(request.clone());
        let entry = Entry {
            request,
            keep_alive: self.options.keep_alive,
            state: State::Loading {
                waiters,
                cancel: cancel.clone(),
                since: Instant::now(),
            },
            draining: false,
            is_second_try: self.second_tries.remove(key).is_some(),
            gone: Vec::new(),
        };
        tracing::info!(model = %entry.request.name, context = entry.request.settings.context, "loading");
        self.events.record(
            &entry.request.name,
            EventKind::Loading,
            format!(
                "loads with a context of {} tokens; {} of {} models are loaded",
                entry.request.settings.context,
                self.table.len(),
                self.options.max_loaded
            ),
            EventFacts {
                context: Some(entry.request.settings.context),
                ..EventFacts::default()
            },
        );
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
