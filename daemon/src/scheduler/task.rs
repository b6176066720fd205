//! The task that owns the table of loaded models. Nothing else changes the table.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use registry::{ModelKey, ModelName};
use runner_protocol::{FailureKind, Sandbox, SandboxLevel};
use supervisor::{Cause, Exit};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::breaker::Breaker;
use super::entry::{Entry, Ready, State, Waiter, summary};
use super::{Lease, LoadRequest, LoadedRunner, Loader, ModelSummary, Options, Unloading};
use crate::duration::KeepAlive;
use crate::error::Error;

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
    /// Unload a model when it is idle.
    Unload {
        which: Which,
        reply: oneshot::Sender<Unloading>,
    },
    /// List the loaded models.
    List {
        reply: oneshot::Sender<Vec<ModelSummary>>,
    },
    /// Stop all runners.
    Close { reply: oneshot::Sender<()> },
}

/// How a loaded model is found.
#[derive(Debug)]
pub(super) enum Which {
    /// By its key.
    Key(ModelKey),
    /// By the name that it was loaded by.
    Name(ModelName),
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

/// After this wait a busy model is drained to free its model slot.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Task {
    options: Options,
    loader: Arc<dyn Loader>,
    tasks: TaskTracker,
    table: BTreeMap<u64, Entry>,
    next: u64,
    /// Requests that wait for a free model slot or for a reload, in order of arrival.
    pending: Vec<Waiter>,
    /// Models whose load is tried a second time, with the entries whose memory they wait for.
    second_tries: BTreeMap<ModelKey, Vec<u64>>,
    breaker: Breaker,
    closing: Option<Vec<oneshot::Sender<()>>>,
    notices: mpsc::UnboundedSender<Notice>,
    inbox: mpsc::UnboundedReceiver<Notice>,
}

impl Task {
    pub(super) fn new(options: Options, loader: Arc<dyn Loader>, tasks: TaskTracker) -> Self {
        let (notices, inbox) = mpsc::unbounded_channel();
        Self {
            options,
            loader,
            tasks,
            table: BTreeMap::new(),
            next: 1,
            pending: Vec::new(),
            second_tries: BTreeMap::new(),
            breaker: Breaker::default(),
            closing: None,
            notices,
            inbox,
        }
    }

    /// Runs until it is closed and all runners are gone, or until the last handle is dropped.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let wake = self.table.values().filter_map(Entry::expires).min();
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
            Command::Unload { which, reply } => self.unload(&which, reply),
            Command::List { reply } => {
                let _ = reply.send(self.table.values().map(summary).collect());
            }
            Command::Close { reply } => self.close(reply),
        }
    }

    fn acquire(&mut self, request: LoadRequest, reply: oneshot::Sender<Result<Lease, Error>>) {
        let waiter = Waiter {
            request,
            reply,
            since: Instant::now(),
        };
        if let Err(error) = self.admit(&waiter.request) {
            let _ = waiter.reply.send(Err(error));
            return;
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
            let _ = waiter.reply.send(Err(Error::Busy { waiting }));
            return;
        }
        let loading = found.and_then(|(id, _)| self.table.get_mut(&id));
        match loading.map(|entry| &mut entry.state) {
            Some(State::Loading { waiters, .. }) => waiters.push(waiter),
            Some(State::Ready(_) | State::Stopping) | None => self.pending.push(waiter),
        }
    }

    /// Refuses a request while the scheduler closes or the breaker of the model is open.
    fn admit(&self, request: &LoadRequest) -> Result<(), Error> {
        if self.closing.is_some() {
            return Err(Error::Stopping);
        }
        match self.breaker.open(&request.key, Instant::now()) {
            None => Ok(()),
            Some((times, rest)) => Err(Error::CrashLoop {
                model: request.name.to_string(),
                times,
                rest,
            }),
        }
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
    fn unload(&mut self, which: &Which, reply: oneshot::Sender<Unloading>) {
        let same = |entry: &&mut Entry| match which {
            Which::Key(key) => entry.request.key == *key,
            Which::Name(name) => entry.request.name == *name,
        };
        let Some(entry) = self.table.values_mut().find(same) else {
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

    fn close(&mut self, reply: oneshot::Sender<()>) {
        self.closing.get_or_insert_default().push(reply);
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
                State::Ready(_) => self.stop(id, "the daemon stops"),
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

    // ===== notices =====

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Released { entry } => self.released(entry),
            Notice::Loaded { entry, result } => self.loaded(entry, *result),
            Notice::Exited { entry, exit } => self.exited(entry, &exit),
        }
    }

    fn released(&mut self, id: u64) {
        if let Some(State::Ready(ready)) = self.table.get_mut(&id).map(|entry| &mut entry.state) {
            ready.leases -= 1;
            if ready.leases == 0 {
                ready.idle_since = Instant::now();
            }
        }
    }

    fn loaded(&mut self, id: u64, result: Result<LoadedRunner, Error>) {
        let Some(entry) = self.table.get_mut(&id) else {
            // The load was cancelled; dropping the runner ends it.
            return;
        };
        let State::Loading { waiters, since, .. } = &mut entry.state else {
            return;
        };
        let waiters = std::mem::take(waiters);
        let since = *since;
        match result {
            Err(error) => self.failed(id, waiters, &error),
            Ok(LoadedRunner {
                runner,
                loaded,
                saver,
                device_reason,
            }) => {
                tracing::info!(
                    model = %entry.request.name,
                    pid = runner.pid(),
                    context = loaded.context,
                    device = %loaded.device,
                    reason = device_reason,
                    took = ?since.elapsed(),
                    "loaded"
                );
                warn_of_gaps(&entry.request, &runner.hello().sandbox);
                let exited = runner.exited();
                let notices = self.notices.clone();
                self.tasks.spawn(async move {
                    let exit = exited.await;
                    let _ = notices.send(Notice::Exited { entry: id, exit });
                });
                entry.state = State::Ready(Box::new(Ready {
                    runner,
                    loaded,
                    saver,
                    device_reason,
                    leases: 0,
                    idle_since: Instant::now(),
                    load_time: since.elapsed(),
                }));
                for waiter in waiters {
                    self.grant(id, waiter);
                }
            }
        }
    }

    /// A load failed. When memory was too short, unloads the idle models and tries once more.
    fn failed(&mut self, id: u64, waiters: Vec<Waiter>, error: &Error) {
        let Some(entry) = self.table.remove(&id) else {
            return;
        };
        tracing::warn!(model = %entry.request.name, "cannot load: {}", crate::error::chain(error));
        if lacks_memory(error) && !entry.is_second_try {
            let idle = self.table.iter().filter(|(_, entry)| entry.is_idle());
            let idle: Vec<u64> = idle.map(|(id, _)| *id).collect();
            if !idle.is_empty() {
                for id in &idle {
                    self.stop(*id, "another model needs its memory");
                }
                self.second_tries.insert(entry.request.key, idle);
                self.pending.splice(0..0, waiters);
                return;
            }
        }
        if let Some(signal) = crash(error) {
            self.crashed(&entry.request, signal);
        }
        for waiter in waiters {
            let _ = waiter.reply.send(Err(error.clone()));
        }
    }

    /// A runner crashed during the load or later, by this signal if by one.
    fn crashed(&mut self, request: &LoadRequest, signal: Option<i32>) {
        tracing::debug!(model = %request.name, signal, "crashed");
        self.breaker.crashed(&request.key, Instant::now());
    }

    fn exited(&mut self, id: u64, exit: &Exit) {
        let Some(mut entry) = self.table.remove(&id) else {
            return;
        };
        for reply in entry.gone.drain(..) {
            let _ = reply.send(Unloading::Done);
        }
        if matches!(entry.state, State::Stopping) || matches!(exit.cause, Cause::Stopped) {
            tracing::info!(model = %entry.request.name, "unloaded");
            return;
        }
        // The streams of active requests end in an error by themselves.
        tracing::warn!(model = %entry.request.name, stderr = ?exit.stderr, "the runner {exit}");
        self.crashed(&entry.request, exit.signal());
    }

    // ===== changes of the table =====

    /// Gives a lease to a waiter.
    fn grant(&mut self, id: u64, waiter: Waiter) {
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
    fn expire(&mut self) {
        let now = Instant::now();
        let over: Vec<u64> = self
            .table
            .iter()
            .filter(|(_, entry)| entry.expires().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.stop(id, "it was not used");
        }
    }

    /// Serves the waiting requests in order of arrival, as far as possible.
    fn advance(&mut self) {
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
        // A slot that becomes free goes to the request that came first.
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

    /// Gives leases on a loaded model to its waiters, in order. At the first one that needs a reload, the model is stopped when it is
    /// idle; until then the later ones wait too.
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
                for waiter in self.pending.iter_mut().filter(|waiter| same(waiter)) {
                    waiter.request.keep(loaded);
                }
                self.stop(id, "another context or other settings are needed");
            }
            return;
        }
    }

    /// Cancels loads without waiting requests.
    fn cancel_abandoned_loads(&mut self) {
        self.table.retain(|_, entry| {
            let is_abandoned = entry.is_abandoned();
            if let (true, State::Loading { cancel, .. }) = (is_abandoned, &entry.state) {
                tracing::info!(model = %entry.request.name, "load cancelled: no request waits for it");
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
                Err(error) => drop(waiter.reply.send(Err(error))),
            }
        }
    }

    /// Whether its second try waits for the memory of other models.
    fn waits_for_memory(&self, key: &ModelKey) -> bool {
        let awaited = self.second_tries.get(key);
        awaited.is_some_and(|ids| ids.iter().any(|id| self.table.contains_key(id)))
    }

    /// A draining model takes requests again when no request waits for its slot any more.
    fn end_drains(&mut self) {
        for entry in self.table.values_mut().filter(|entry| entry.draining) {
            let others = |waiter: &Waiter| waiter.request.key != entry.request.key;
            entry.draining = self.pending.iter().any(others);
        }
    }

    /// Stops an idle model. If there is none and the wait was long, drains a busy one.
    fn make_room(&mut self, key: &ModelKey) {
        if let Some(id) = self.least_valuable(Entry::is_idle) {
            self.stop(id, "its slot is needed");
            return;
        }
        let mut waiting = self
            .pending
            .iter()
            .filter(|waiter| waiter.request.key == *key);
        let long = waiting.any(|waiter| waiter.since.elapsed() >= PATIENCE);
        if !long || self.table.values().any(|entry| entry.draining) {
            return;
        }
        let busy = self.least_valuable(|entry| entry.ready().is_some());
        if let Some(entry) = busy.and_then(|id| self.table.get_mut(&id)) {
            tracing::info!(model = %entry.request.name, "takes no new requests: its slot is needed");
            entry.draining = true;
        }
    }

    fn count_stopping(&self) -> usize {
        self.table
            .values()
            .filter(|entry| matches!(entry.state, State::Stopping))
            .count()
    }

    /// The least valuable of these models. A model with unlimited keep-alive is chosen last.
    fn least_valuable(&self, among: impl Fn(&Entry) -> bool) -> Option<u64> {
        let now = Instant::now();
        let rank = |entry: &Entry| (entry.keep_alive == KeepAlive::Always, entry.value(now));
        self.table
            .iter()
            .filter(|(_, entry)| among(entry))
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
    fn stop(&mut self, id: u64, why: &'static str) {
        let Some(entry) = self.table.get_mut(&id) else {
            return;
        };
        if !matches!(entry.state, State::Ready(_)) {
            return;
        }
        tracing::info!(model = %entry.request.name, why, "unloading");
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

async fn until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Whether a load failed by a crash of the runner, with the signal if it was one; `None` when the runner answered.
fn crash(error: &Error) -> Option<Option<i32>> {
    use supervisor::Error as E;
    match error {
        Error::Runner {
            source:
                E::Exited(exit)
                | E::Protocol { exit, .. }
                | E::Stalled { exit, .. }
                | E::Hello { exit, .. },
            ..
        } => Some(exit.signal()),
        _ => None,
    }
}

/// Whether a load failed for want of memory: the runner reports it, or the OOM killer ended it.
fn lacks_memory(error: &Error) -> bool {
    use supervisor::Error as E;
    match error {
        Error::Runner { source, .. } => match source {
            E::Failed(failure) => failure.kind == FailureKind::OutOfMemory,
            E::Exited(exit) => exit.signal() == Some(KILLED),
            _ => false,
        },
        _ => false,
    }
}

/// SIGKILL. The supervisor reports its own kills as other errors, so during a load it comes from the OOM killer.
const KILLED: i32 = 9;

/// Logs the gaps in the sandbox of a runner.
fn warn_of_gaps(request: &LoadRequest, sandbox: &Sandbox) {
    let (level, lacks) = (sandbox.level.name(), &sandbox.lacks);
    if sandbox.level < SandboxLevel::Full && !lacks.is_empty() {
        tracing::warn!(model = %request.name, level, lacks, "the runner is not fully confined");
    } else if !lacks.is_empty() {
        tracing::info!(model = %request.name, level, lacks, "the runner could be confined more strictly");
    }
}
