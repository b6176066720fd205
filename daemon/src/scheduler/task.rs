//! The task that owns the table of loaded models: one command enum, one place where anything changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use runner::protocol::{Loaded, Sandbox, SandboxLevel};
use runner::supervisor::{self, Cause, Exit, Runner};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::breaker::Breaker;
use super::{Keeping, Key, Lease, Loader, Options, Plan, Seen, Up, Want};
use crate::duration::Stay;
use crate::error::Error;

/// What others ask of the task.
#[derive(Debug)]
pub(super) enum Command {
    /// The right to use a model.
    Acquire {
        want: Box<Want>,
        reply: oneshot::Sender<Result<Lease, Error>>,
    },
    /// Let a model go when nobody uses it.
    Unload {
        key: Key,
        reply: oneshot::Sender<bool>,
    },
    /// What is loaded.
    List { reply: oneshot::Sender<Vec<Seen>> },
    /// Stop everything.
    Close { reply: oneshot::Sender<()> },
}

/// What its own tasks and leases report. Everything carries the entry it is about; reports on entries that are gone are
/// of no interest.
#[derive(Debug)]
pub(super) enum Notice {
    Released {
        entry: u64,
    },
    Loaded {
        entry: u64,
        result: Result<Up, Error>,
    },
    Exited {
        entry: u64,
        exit: Exit,
    },
}

/// Who waits longer than this for a place gets one, even from a model that is never idle by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody who waits for a model.
#[derive(Debug)]
struct Waiter {
    want: Want,
    reply: oneshot::Sender<Result<Lease, Error>>,
    since: Instant,
}

impl Waiter {
    fn is_gone(&self) -> bool {
        self.reply.is_closed()
    }
}

/// One line of the table.
#[derive(Debug)]
struct Entry {
    plan: Plan,
    digest: String,
    details: api::ModelDetails,
    keep_alive: Stay,
    state: State,
    /// Its place is promised to somebody else: it finishes what it has, and takes nothing new.
    draining: bool,
    /// Those who wait for it to be gone.
    gone: Vec<oneshot::Sender<bool>>,
}

#[derive(Debug)]
enum State {
    /// On its way in, with those who wait for it.
    Loading {
        waiters: Vec<Waiter>,
        cancel: CancellationToken,
        since: Instant,
    },
    /// Here.
    Ready(Box<Ready>),
    /// On its way out; its memory is not free yet.
    Stopping,
}

#[derive(Debug)]
struct Ready {
    runner: Runner,
    loaded: Loaded,
    keeping: Option<Keeping>,
    device_reason: String,
    leases: usize,
    /// When the last lease was given back.
    idle_since: Instant,
    /// What it took to load it, and would take again.
    load_time: Duration,
}

impl Entry {
    fn ready(&self) -> Option<&Ready> {
        match &self.state {
            State::Ready(ready) => Some(ready),
            State::Loading { .. } | State::Stopping => None,
        }
    }

    /// Whether newcomers with this context need not wait for another load.
    fn serves(&self, context: u32) -> bool {
        self.plan.context >= context && !self.draining
    }

    fn is_idle(&self) -> bool {
        self.ready().is_some_and(|ready| ready.leases == 0)
    }

    /// When it goes if nothing is asked of it.
    fn expires(&self) -> Option<Instant> {
        match (self.ready()?, self.keep_alive) {
            (ready, Stay::For(stay)) if ready.leases == 0 => Some(ready.idle_since + stay),
            _ => None,
        }
    }

    /// How much it is worth to keep, least first: seconds that it takes to have it again, per second that it was not used.
    fn worth(&self, now: Instant) -> f64 {
        let Some(ready) = self.ready() else {
            return f64::INFINITY;
        };
        let cost = ready.load_time.as_secs_f64().max(0.01);
        let unused = (now - ready.idle_since).as_secs_f64().max(0.001);
        cost / unused
    }
}

pub(super) struct Task {
    options: Options,
    loader: Arc<dyn Loader>,
    tasks: TaskTracker,
    table: BTreeMap<u64, Entry>,
    next: u64,
    /// Those who wait for room, or for a larger context, first come first.
    pending: Vec<Waiter>,
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
            breaker: Breaker::default(),
            closing: None,
            notices,
            inbox,
        }
    }

    /// Lives until it is closed and everything is gone, or until nobody can ask any more.
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
            Command::Acquire { want, reply } => self.acquire(*want, reply),
            Command::Unload { key, reply } => self.unload(&key, reply),
            Command::List { reply } => {
                let _ = reply.send(self.table.values().map(seen).collect());
            }
            Command::Close { reply } => self.close(reply),
        }
    }

    fn acquire(&mut self, want: Want, reply: oneshot::Sender<Result<Lease, Error>>) {
        let waiter = Waiter {
            want,
            reply,
            since: Instant::now(),
        };
        if let Err(error) = self.admit(&waiter.want) {
            let _ = waiter.reply.send(Err(error));
            return;
        }
        let key = &waiter.want.plan.key;
        // Nobody overtakes those who wait for the same model with a larger context, or they would wait for ever.
        let overtakes = self
            .pending
            .iter()
            .any(|other| other.want.plan.key == *key && !other.is_gone());
        let fits = |entry: &Entry| {
            entry.plan.key == *key && entry.serves(waiter.want.plan.context) && !overtakes
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

    /// Whether the model may be asked for at all.
    fn admit(&self, want: &Want) -> Result<(), Error> {
        if self.closing.is_some() {
            return Err(Error::Stopping);
        }
        match self.breaker.rests(&want.plan.key, Instant::now()) {
            None => Ok(()),
            Some((times, rest)) => Err(Error::CrashLoop {
                model: want.plan.name.to_string(),
                times,
                rest,
            }),
        }
    }

    /// How many wait; those who left are forgotten first.
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

    /// An idle model goes now, and whoever asked is told when it is gone; a busy one goes with its last lease, which
    /// nobody waits for.
    fn unload(&mut self, key: &Key, reply: oneshot::Sender<bool>) {
        let same = |entry: &&mut Entry| entry.plan.key == *key;
        let Some(entry) = self.table.values_mut().find(same) else {
            let _ = reply.send(false);
            return;
        };
        // It expires at once when idle, and with its last lease otherwise.
        entry.keep_alive = Stay::For(Duration::ZERO);
        if entry.is_idle() || matches!(entry.state, State::Stopping) {
            entry.gone.push(reply);
        } else {
            let _ = reply.send(true);
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

    /// Whether it was told to stop and nothing is left. Those who asked are told.
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
            Notice::Loaded { entry, result } => self.loaded(entry, result),
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

    fn loaded(&mut self, id: u64, result: Result<Up, Error>) {
        let Some(entry) = self.table.get_mut(&id) else {
            // Cancelled; dropping the runner ends it.
            return;
        };
        let State::Loading { waiters, since, .. } = &mut entry.state else {
            return;
        };
        let waiters = std::mem::take(waiters);
        let since = *since;
        match result {
            Err(error) => {
                tracing::warn!(model = %entry.plan.name, "cannot load: {}", crate::error::chain(&error));
                if is_crash(&error) {
                    self.breaker.crashed(&entry.plan.key, Instant::now());
                }
                self.table.remove(&id);
                for waiter in waiters {
                    let _ = waiter.reply.send(Err(error.clone()));
                }
            }
            Ok(Up {
                runner,
                loaded,
                keeping,
                device_reason,
            }) => {
                tracing::info!(
                    model = %entry.plan.name,
                    pid = runner.pid(),
                    context = loaded.context,
                    device = %loaded.device,
                    reason = device_reason,
                    took = ?since.elapsed(),
                    "loaded"
                );
                warn_of_gaps(&entry.plan, &runner.hello().sandbox);
                let exited = runner.exited();
                let notices = self.notices.clone();
                self.tasks.spawn(async move {
                    let exit = exited.await;
                    let _ = notices.send(Notice::Exited { entry: id, exit });
                });
                entry.state = State::Ready(Box::new(Ready {
                    runner,
                    loaded,
                    keeping,
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

    fn exited(&mut self, id: u64, exit: &Exit) {
        let Some(mut entry) = self.table.remove(&id) else {
            return;
        };
        for reply in entry.gone.drain(..) {
            let _ = reply.send(true);
        }
        if matches!(entry.state, State::Stopping) || matches!(exit.cause, Cause::Stopped) {
            tracing::info!(model = %entry.plan.name, "unloaded");
            return;
        }
        // Requests under way learn it from their own streams.
        tracing::warn!(model = %entry.plan.name, stderr = ?exit.stderr, "the runner {exit}");
        self.breaker.crashed(&entry.plan.key, Instant::now());
    }

    // ===== changes of the table =====

    /// Gives the right to use a loaded model.
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
        if let Some(stay) = waiter.want.keep_alive {
            entry.keep_alive = stay;
        }
        ready.leases += 1;
        let lease = Lease {
            entry: id,
            runner: ready.runner.clone(),
            loaded: ready.loaded.clone(),
            notices: self.notices.clone(),
        };
        // If the waiter left just now, the lease comes back and is released.
        let _ = waiter.reply.send(Ok(lease));
    }

    /// Stops what was idle for long enough.
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

    /// Does what can be done for those who wait, first come first.
    fn advance(&mut self) {
        self.pending.retain(|waiter| !waiter.is_gone());
        self.forget_promises();
        let mut keys: Vec<Key> = Vec::new();
        for waiter in &self.pending {
            if !keys.contains(&waiter.want.plan.key) {
                keys.push(waiter.want.plan.key.clone());
            }
        }
        // Room that is becoming free goes to those who came first.
        let mut leaving = self.count_stopping();
        for key in keys {
            match self.table.iter().find(|(_, entry)| entry.plan.key == key) {
                Some((id, entry)) => {
                    let (id, idle) = (*id, entry.is_idle());
                    if entry.ready().is_some() && entry.serves(self.need(&key)) {
                        self.grant_all(id, &key);
                    } else if idle && !entry.draining {
                        self.stop(id, "a larger context is needed");
                    }
                    // Else it comes, goes or answers, and will report.
                }
                None if self.table.len() < self.options.max_loaded => self.start(&key),
                None if leaving > 0 => leaving -= 1,
                None => self.make_room(&key),
            }
        }
    }

    /// The largest context that somebody who waits for this model needs.
    fn need(&self, key: &Key) -> u32 {
        let waiting = self.pending.iter().map(|waiter| &waiter.want.plan);
        waiting
            .filter(|plan| plan.key == *key)
            .map(|plan| plan.context)
            .max()
            .unwrap_or(0)
    }

    /// When nobody waits for the place of a draining model any more, it takes requests again.
    fn forget_promises(&mut self) {
        for entry in self.table.values_mut().filter(|entry| entry.draining) {
            let others = |waiter: &Waiter| waiter.want.plan.key != entry.plan.key;
            entry.draining = self.pending.iter().any(others);
        }
    }

    /// Lets an idle model go; if there is none and the wait was long, promises the place of one that is busy.
    fn make_room(&mut self, key: &Key) {
        if let Some(id) = self.least_worth(Entry::is_idle) {
            self.stop(id, "its place is needed");
            return;
        }
        let mut waiting = self
            .pending
            .iter()
            .filter(|waiter| waiter.want.plan.key == *key);
        let long = waiting.any(|waiter| waiter.since.elapsed() >= PATIENCE);
        if !long || self.table.values().any(|entry| entry.draining) {
            return;
        }
        let busy = self.least_worth(|entry| entry.ready().is_some());
        if let Some(entry) = busy.and_then(|id| self.table.get_mut(&id)) {
            tracing::info!(model = %entry.plan.name, "takes no new requests: its place is needed");
            entry.draining = true;
        }
    }

    /// Gives a loaded model to all who wait for it.
    fn grant_all(&mut self, id: u64, key: &Key) {
        for waiter in self.take_waiters(key) {
            self.grant(id, waiter);
        }
    }

    fn take_waiters(&mut self, key: &Key) -> Vec<Waiter> {
        let (taken, rest) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|waiter| waiter.want.plan.key == *key);
        self.pending = rest;
        taken
    }

    fn count_stopping(&self) -> usize {
        self.table
            .values()
            .filter(|entry| matches!(entry.state, State::Stopping))
            .count()
    }

    /// The model that is cheapest to lose among some; one that was to stay for ever only if there is no other.
    fn least_worth(&self, among: impl Fn(&Entry) -> bool) -> Option<u64> {
        let now = Instant::now();
        let rank = |entry: &Entry| (entry.keep_alive == Stay::Always, entry.worth(now));
        self.table
            .iter()
            .filter(|(_, entry)| among(entry))
            .min_by(|(_, a), (_, b)| {
                let (a, b) = (rank(a), rank(b));
                a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
            })
            .map(|(id, _)| *id)
    }

    /// Starts to load a model for all who wait for it, with the largest context that one of them needs.
    fn start(&mut self, key: &Key) {
        let waiters = self.take_waiters(key);
        let Some(largest) = waiters
            .iter()
            .map(|waiter| &waiter.want)
            .max_by_key(|want| want.plan.context)
        else {
            return;
        };
        let id = self.next;
        self.next += 1;
        let cancel = CancellationToken::new();
        let loading = self.loader.load(largest.plan.clone());
        let entry = Entry {
            plan: largest.plan.clone(),
            digest: largest.digest.clone(),
            details: largest.details.clone(),
            keep_alive: self.options.keep_alive,
            state: State::Loading {
                waiters,
                cancel: cancel.clone(),
                since: Instant::now(),
            },
            draining: false,
            gone: Vec::new(),
        };
        tracing::info!(model = %entry.plan.name, context = entry.plan.context, "loading");
        self.table.insert(id, entry);
        let notices = self.notices.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                result = loading => {
                    let _ = notices.send(Notice::Loaded { entry: id, result });
                }
            }
        });
    }

    /// Tells the runner of a ready model to leave; its end is reported by whoever watches it.
    fn stop(&mut self, id: u64, why: &'static str) {
        let Some(entry) = self.table.get_mut(&id) else {
            return;
        };
        if !matches!(entry.state, State::Ready(_)) {
            return;
        }
        tracing::info!(model = %entry.plan.name, why, "unloading");
        if let State::Ready(ready) = std::mem::replace(&mut entry.state, State::Stopping) {
            let grace = self.options.stop_grace;
            let Ready {
                runner, keeping, ..
            } = *ready;
            self.tasks.spawn(async move {
                match keeping {
                    Some(keeping) => keeping.see_off(&runner, grace).await,
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

/// Whether a failed load was the runner's death, and not an answer of it.
fn is_crash(error: &Error) -> bool {
    use supervisor::Error as E;
    matches!(
        error,
        Error::Runner {
            source: E::Exited(_) | E::Protocol { .. } | E::Stalled { .. } | E::Hello { .. },
            ..
        }
    )
}

/// Says in the log what a runner that was to be confined can do all the same.
fn warn_of_gaps(plan: &Plan, sandbox: &Sandbox) {
    let (level, lacks) = (sandbox.level.name(), &sandbox.lacks);
    if sandbox.level < SandboxLevel::Full && !lacks.is_empty() {
        tracing::warn!(model = %plan.name, level, lacks, "the runner is not fully confined");
    } else if !lacks.is_empty() {
        tracing::info!(model = %plan.name, level, lacks, "the runner could be confined more strictly");
    }
}

fn seen(entry: &Entry) -> Seen {
    let ready = entry.ready();
    Seen {
        name: entry.plan.name.to_string(),
        digest: entry.digest.clone(),
        details: entry.details.clone(),
        state: match (&entry.state, ready.map_or(0, |ready| ready.leases)) {
            (State::Loading { .. }, _) => "loading",
            (State::Ready(_), 0) => "ready",
            (State::Ready(_), _) => "busy",
            (State::Stopping, _) => "stopping",
        },
        active: ready.map_or(0, |ready| ready.leases),
        expires: match (entry.expires(), entry.keep_alive) {
            (Some(at), _) => Some(at),
            // Not idle: the clock has not started.
            (None, Stay::For(stay)) => Some(Instant::now() + stay),
            (None, Stay::Always) => None,
        },
        keep_alive: entry.keep_alive,
        context: ready.map_or(entry.plan.context, |ready| ready.loaded.context),
        pid: ready.and_then(|ready| ready.runner.pid()),
        resident_bytes: ready.map_or(0, |ready| {
            ready
                .runner
                .resident_bytes()
                .unwrap_or(ready.loaded.resident_bytes)
        }),
        device_bytes: ready.map_or(0, |ready| ready.loaded.device_bytes),
        device: ready.map_or_else(String::new, |ready| ready.loaded.device.clone()),
        device_reason: ready.map_or_else(String::new, |ready| ready.device_reason.clone()),
        sandbox: ready.map(|ready| ready.runner.hello().sandbox.clone()),
    }
}
