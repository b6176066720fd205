//! The task that owns the table of loaded models. Nothing else changes the table.

mod decision;
mod expiry;
mod pressure;
mod reasons;
mod reports;
mod room;
mod shrink;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::{EventFacts, EventKind};
use registry::{ModelKey, ModelName};
use supervisor::Exit;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::breaker::Breaker;
use super::entry::{Entry, State, Waiter, summary};
use super::popularity::Popularity;
use super::successors::Successors;
use super::{
    HostMemory, Lease, LoadRequest, LoadedRunner, Loader, Machine, ModelSummary, Options, Unloading,
};
use crate::accelerators::DeviceMemory;
use crate::duration::KeepAlive;
use crate::error::Error;
use crate::events::Events;

/// Commands of the handles.
#[derive(Debug)]
pub(super) enum Command {
    /// Get a lease.
    Acquire {
        request: Box<LoadRequest>,
        reply: oneshot::Sender<Result<Lease, Error>>,
    },
    /// A request was dropped.
    Left,
    /// The limits changed.
    Configure(Box<Options>),
    /// Unload a model when it is idle. A pinned one only with `even_pinned`, which also unpins it.
    Unload {
        which: Which,
        even_pinned: bool,
        reply: oneshot::Sender<Unloading>,
    },
    /// Pin a model that is leased by the caller.
    Pin {
        name: ModelName,
        key: ModelKey,
        reply: oneshot::Sender<()>,
    },
    /// Unpin a model. Replies whether it was pinned.
    Unpin {
        which: Which,
        reply: oneshot::Sender<bool>,
    },
    /// List the loaded models.
    List {
        reply: oneshot::Sender<Vec<ModelSummary>>,
    },
    /// Stop all runners.
    Close { reply: oneshot::Sender<()> },
}

/// How a loaded model is found.
#[derive(Debug, Clone)]
pub enum Which {
    /// By its key.
    Key(ModelKey),
    /// By the name that it was loaded by.
    Name(ModelName),
}

impl Which {
    fn is(&self, name: &ModelName, key: &ModelKey) -> bool {
        match self {
            Self::Key(this) => this == key,
            Self::Name(this) => this == name,
        }
    }
}

/// Reports of the tasks and leases of an entry. A report on an entry that is gone is ignored.
#[derive(Debug)]
pub(super) enum Notice {
    Released {
        entry: u64,
    },
    Loaded {
        entry: u64,
        result: Box<Result<LoadedRunner, Error>>,
    },
    Exited {
        entry: u64,
        exit: Exit,
    },
}

pub(super) struct Task {
    options: Options,
    loader: Arc<dyn Loader>,
    machine: Arc<dyn Machine>,
    tasks: TaskTracker,
    table: BTreeMap<u64, Entry>,
    next: u64,
    /// Requests that wait for room or for a reload, in order of arrival.
    pending: Vec<Waiter>,
    /// Models that were stopped to be loaded anew with smaller settings, and how long each stays.
    shrunk: Vec<(LoadRequest, KeepAlive)>,
    /// Models whose load is tried a second time, with the entries whose memory they wait for.
    second_tries: BTreeMap<ModelKey, Vec<u64>>,
    breaker: Breaker,
    popularity: Popularity,
    successors: Successors,
    /// Pinned models, loaded or not: a pin outlives a reload and a crash.
    pins: BTreeMap<ModelKey, BTreeSet<ModelName>>,
    events: Events,
    /// When the memory is looked at next.
    look: Instant,
    /// The memory of the host when the requests that wait were served last.
    memory: Option<HostMemory>,
    /// That of the devices.
    devices: Vec<DeviceMemory>,
    /// When requests that wait for memory of other programs are looked at again; `None` without any.
    recheck: Option<Instant>,
    /// When spare runners end if no load comes; `None` without any.
    spares_end: Option<Instant>,
    closing: Option<Vec<oneshot::Sender<()>>>,
    notices: mpsc::UnboundedSender<Notice>,
    inbox: mpsc::UnboundedReceiver<Notice>,
}

impl Task {
    pub(super) fn new(
        options: Options,
        loader: Arc<dyn Loader>,
        machine: Arc<dyn Machine>,
        events: Events,
        tasks: TaskTracker,
    ) -> Self {
        let (notices, inbox) = mpsc::unbounded_channel();
        Self {
            options,
            loader,
            machine,
            tasks,
            table: BTreeMap::new(),
            next: 1,
            pending: Vec::new(),
            shrunk: Vec::new(),
            second_tries: BTreeMap::new(),
            breaker: Breaker::default(),
            popularity: Popularity::default(),
            successors: Successors::default(),
            pins: BTreeMap::new(),
            events,
            look: Instant::now(),
            memory: None,
            devices: Vec::new(),
            recheck: None,
            spares_end: None,
            closing: None,
            notices,
            inbox,
        }
    }

    /// Runs until it is closed and all runners are gone, or until the last handle is dropped.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let expiry = self.expiries().map(|(_, at)| at);
            let wake = expiry
                .chain(self.next_look())
                .chain(self.spares_end)
                .chain(self.recheck)
                .min();
            tokio::select! {
                biased;
                Some(notice) = self.inbox.recv() => self.notice(notice),
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                () = until(wake) => {}
            }
            self.expire();
            self.relieve();
            self.end_spares();
            self.advance();
            if self.is_closed() {
                return;
            }
        }
    }

    // ===== commands =====

    fn command(&mut self, command: Command) {
        match command {
            Command::Acquire { request, reply } => self.acquire(*request, reply),
            // Dropped requests are removed after every command.
            Command::Left => {}
            Command::Configure(options) => self.options = *options,
            Command::Unload {
                which,
                even_pinned,
                reply,
            } => self.unload(&which, even_pinned, reply),
            Command::Pin { name, key, reply } => {
                self.pin(name, key);
                let _ = reply.send(());
            }
            Command::Unpin { which, reply } => {
                let _ = reply.send(self.unpin(&which));
            }
            Command::List { reply } => {
                let _ = reply.send(self.list());
            }
            Command::Close { reply } => self.close(reply),
        }
    }

    fn acquire(&mut self, request: LoadRequest, reply: oneshot::Sender<Result<Lease, Error>>) {
        self.move_pin(&request);
        let mut waiter = Waiter {
            request,
            reply,
            since: Instant::now(),
        };
        if let Err(error) = self.admit(&waiter.request) {
            self.refuse(waiter, error);
            return;
        }
        let key = &waiter.request.key;
        self.popularity.requested(key, waiter.since);
        if self.successors.requested(&waiter.request.name) {
            self.read_ahead(&waiter.request.name);
        }
        let key = &waiter.request.key;
        // A request never overtakes one that waits for a reload of the same model; that one could wait for ever.
        let overtakes = self
            .pending
            .iter()
            .any(|other| other.request.key == *key && !other.is_gone());
        let fits = |entry: &Entry| {
            entry.request.key == *key && entry.serves(&waiter.request) && !overtakes
        };
        let found = self.table.iter().find(|(_, entry)| fits(entry));
        let found = found.map(|(id, entry)| (*id, entry.ready().is_some()));
        if let Some((id, true)) = found {
            self.grant(id, waiter);
            return;
        }
        let waiting = self.waiting();
        if waiting >= self.options.max_queue {
            self.refuse(waiter, Error::Busy { waiting });
            return;
        }
        waiter.request.count_host_cache(self.machine.memory());
        let loading = found.and_then(|(id, _)| self.table.get_mut(&id));
        match loading.map(|entry| &mut entry.state) {
            Some(State::Loading { waiters, .. }) => waiters.push(waiter),
            Some(State::Ready(_) | State::Stopping) | None => self.pending.push(waiter),
        }
    }

    /// Reads the file of the model ahead that usually follows this one, if it is not loaded and other programs leave the memory.
    fn read_ahead(&self, name: &ModelName) {
        let Some(next) = self.successors.after(name) else {
            return;
        };
        let is_loaded = self.table.values().any(|entry| entry.request.name == *next);
        if let (false, Some(memory)) = (is_loaded, self.machine.memory()) {
            let reserve = self.options.budget.reserve(memory.total);
            let most = memory.available.saturating_sub(reserve) / 2;
            self.loader.read_ahead(next.clone(), most);
        }
    }

    /// Refuses a request while the scheduler closes or the breaker of the model is open.
    fn admit(&self, request: &LoadRequest) -> Result<(), Error> {
        if self.closing.is_some() {
            return Err(Error::Stopping);
        }
        match self.breaker.open(&request.crash_key(), Instant::now()) {
            None => Ok(()),
            Some((times, rest)) => Err(Error::CrashLoop {
                model: request.name.to_string(),
                times,
                rest,
            }),
        }
    }

    /// Answers a waiter with an error.
    fn refuse(&self, waiter: Waiter, error: Error) {
        let error = waiter.request.with_reasons(error);
        self.record_error(
            &waiter.request.name,
            EventKind::Refused,
            error.message(),
            &error,
        );
        let _ = waiter.reply.send(Err(error));
    }

    /// Records an event without facts.
    fn record(&self, model: &ModelName, kind: EventKind, text: impl Into<String>) {
        self.events.record(model, kind, text, EventFacts::default());
    }

    /// Records an event with the code of an error.
    fn record_error(&self, model: &ModelName, kind: EventKind, text: String, error: &Error) {
        let facts = EventFacts {
            code: Some(error.code().to_owned()),
            ..EventFacts::default()
        };
        self.events.record(model, kind, text, facts);
    }

    /// The number of waiting requests, without those that were dropped.
    fn waiting(&mut self) -> usize {
        self.pending.retain(|waiter| !waiter.is_gone());
        let mut count = self.pending.len();
        for entry in self.table.values_mut() {
            if let State::Loading { waiters, .. } = &mut entry.state {
                waiters.retain(|waiter| !waiter.is_gone());
                count += waiters.len();
            }
        }
        count
    }

    /// Stops an idle model now, and replies when it is gone. A busy model stops after its last lease, and the reply comes at once.
    fn unload(&mut self, which: &Which, even_pinned: bool, reply: oneshot::Sender<Unloading>) {
        let is_meant = |entry: &Entry| which.is(&entry.request.name, &entry.request.key);
        let loaded = self.table.values().find(|entry| is_meant(entry));
        let key = loaded.map(|entry| entry.request.key.clone());
        if even_pinned {
            self.unpin(which);
            // The pin may have another name of the same weights.
            if let Some(key) = &key {
                self.unpin(&Which::Key(key.clone()));
            }
        } else if key.is_some_and(|key| self.pins.contains_key(&key)) {
            let _ = reply.send(Unloading::Pinned);
            return;
        }
        let Some(entry) = self.table.values_mut().find(|entry| is_meant(entry)) else {
            let _ = reply.send(Unloading::NotLoaded);
            return;
        };
        // It expires as soon as it is idle.
        entry.keep_alive = KeepAlive::For(Duration::ZERO);
        if entry.is_idle() || matches!(entry.state, State::Stopping) {
            entry.gone.push(reply);
        } else {
            let _ = reply.send(Unloading::WhenIdle);
        }
    }

    fn pin(&mut self, name: ModelName, key: ModelKey) {
        let names = self.pins.entry(key).or_default();
        let is_new = names.is_empty();
        names.insert(name.clone());
        if is_new {
            self.record(&name, EventKind::Pinned, "pinned: it stays loaded");
        }
    }

    /// A pinned name that has other weights by now keeps its pin.
    fn move_pin(&mut self, request: &LoadRequest) {
        let mut pins = self.pins.iter();
        let old = pins.find(|(key, names)| names.contains(&request.name) && **key != request.key);
        let Some(old) = old.map(|(key, _)| key.clone()) else {
            return;
        };
        self.remove_pin(&old, &request.name);
        let names = self.pins.entry(request.key.clone()).or_default();
        names.insert(request.name.clone());
    }

    fn unpin(&mut self, which: &Which) -> bool {
        let pins = self.pins.iter();
        let pins = pins.flat_map(|(key, names)| names.iter().map(move |name| (key, name)));
        let meant = pins.filter(|(key, name)| which.is(name, key));
        let meant: Vec<(ModelKey, ModelName)> = meant
            .map(|(key, name)| (key.clone(), name.clone()))
            .collect();
        for (key, name) in &meant {
            self.remove_pin(key, name);
            if !self.pins.contains_key(key) {
                self.record(name, EventKind::Unpinned, "unpinned");
            }
        }
        !meant.is_empty()
    }

    /// Removes the pin of a name; the pins of other names of the same weights stay.
    fn remove_pin(&mut self, key: &ModelKey, name: &ModelName) {
        if let Some(names) = self.pins.get_mut(key) {
            names.remove(name);
            if names.is_empty() {
                self.pins.remove(key);
            }
        }
    }

    fn is_pinned(&self, entry: &Entry) -> bool {
        self.pins.contains_key(&entry.request.key)
    }

    fn list(&self) -> Vec<ModelSummary> {
        let entries = self.table.values();
        entries
            .map(|entry| summary(entry, self.is_pinned(entry), self.expiry(entry)))
            .collect()
    }

    fn close(&mut self, reply: oneshot::Sender<()>) {
        self.closing.get_or_insert_default().push(reply);
        self.loader.give_back();
        for waiter in self.pending.drain(..) {
            let _ = waiter.reply.send(Err(Error::Stopping));
        }
        let ids: Vec<u64> = self.table.keys().copied().collect();
        for id in ids {
            let Some(entry) = self.table.get_mut(&id) else {
                continue;
            };
            match &mut entry.state {
                State::Loading {
                    waiters, cancel, ..
                } => {
                    cancel.cancel();
                    for waiter in waiters.drain(..) {
                        let _ = waiter.reply.send(Err(Error::Stopping));
                    }
                    self.table.remove(&id);
                }
                State::Ready(_) => self.stop(id, "the daemon stops".into()),
                State::Stopping => {}
            }
        }
    }

    /// Whether it was closed and no entry is left. Replies to the callers of close.
    fn is_closed(&mut self) -> bool {
        if self.closing.is_none() || !self.table.is_empty() {
            return false;
        }
        for reply in self.closing.take().into_iter().flatten() {
            let _ = reply.send(());
        }
        true
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
