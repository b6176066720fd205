//! The entries of the table of loaded models, and the requests that wait for them.

use std::time::Duration;

use registry::{Digest, ModelKey};
use runner_protocol::{Loaded, RefusedAdapter};
use supervisor::Runner;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Lease, LoadRequest, ModelSummary, StateSaver, Unloading};
use crate::duration::KeepAlive;
use crate::error::Error;
use crate::memory::Need;

/// A request that waits for a model.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) request: LoadRequest,
    pub(super) reply: oneshot::Sender<Result<Lease, Error>>,
    pub(super) since: Instant,
}

impl Waiter {
    pub(super) fn is_gone(&self) -> bool {
        self.reply.is_closed()
    }
}

/// One entry of the table.
#[derive(Debug)]
pub(super) struct Entry {
    /// The request that it was loaded for.
    pub(super) request: LoadRequest,
    /// The memory that it takes: the prediction, and what its runner measured if that is more.
    pub(super) need: Need,
    /// How long it stays after its last request.
    pub(super) keep_alive: KeepAlive,
    pub(super) state: State,
    /// Its memory is needed: it finishes its requests and takes no new ones.
    pub(super) draining: bool,
    /// It is loaded anew with smaller settings, and not for a request.
    pub(super) is_shrunk: bool,
    /// A first try lacked memory.
    pub(super) is_second_try: bool,
    /// Callers that wait for it to be gone.
    pub(super) gone: Vec<oneshot::Sender<Unloading>>,
}

#[derive(Debug)]
pub(super) enum State {
    /// It loads, for these waiters.
    Loading {
        waiters: Vec<Waiter>,
        cancel: CancellationToken,
        since: Instant,
    },
    /// It is loaded.
    Ready(Box<Ready>),
    /// Its runner stops; the memory is not free yet.
    Stopping,
}

#[derive(Debug)]
pub(super) struct Ready {
    pub(super) runner: Runner,
    pub(super) loaded: Loaded,
    /// The adapters that its runner was given.
    pub(super) adapters: Vec<Digest>,
    pub(super) saver: Option<StateSaver>,
    pub(super) device_reason: String,
    pub(super) leases: usize,
    /// The crash key of the request that got the last lease.
    pub(super) last_user: ModelKey,
    /// When the last lease was released.
    pub(super) idle_since: Instant,
    /// The time that its load took.
    pub(super) load_time: Duration,
}

/// When a model is unloaded if no request comes; later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Expiry {
    /// Then.
    At(Instant),
    /// The idle clock of a busy or loading model has not started.
    WhenIdle,
    /// It stays.
    Never,
}

impl Entry {
    pub(super) fn ready(&self) -> Option<&Ready> {
        match &self.state {
            State::Ready(ready) => Some(ready),
            State::Loading { .. } | State::Stopping => None,
        }
    }

    /// Whether it serves this request without a reload.
    pub(super) fn serves(&self, request: &LoadRequest) -> bool {
        let loaded = self.request.settings;
        let is_met = request.required.is_met_by(loaded);
        let has_cells = loaded.context >= request.settings.context;
        is_met && has_cells && self.has_adapters_of(request) && !self.draining
    }

    /// Whether its runner was given the adapters of the model of a request.
    pub(super) fn has_adapters_of(&self, request: &LoadRequest) -> bool {
        match self.ready() {
            None => self.request.has_adapters_of(request),
            Some(ready) => request
                .needed_adapters()
                .all(|adapter| ready.adapters.contains(&adapter.digest)),
        }
    }

    /// The adapter of a request that does not fit the weights, if there is one.
    pub(super) fn refused_adapter(&self, request: &LoadRequest) -> Option<&RefusedAdapter> {
        let refused = &self.ready()?.loaded.refused_adapters;
        let is_needed = |refused: &&RefusedAdapter| {
            let mut needed = request.needed_adapters();
            needed.any(|adapter| adapter.digest.hex() == refused.digest)
        };
        refused.iter().find(is_needed)
    }

    /// Whether it loads and all its waiters were dropped.
    pub(super) fn is_abandoned(&self) -> bool {
        match &self.state {
            State::Loading { waiters, .. } => {
                !self.is_shrunk && waiters.iter().all(Waiter::is_gone)
            }
            State::Ready(_) | State::Stopping => false,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.ready().is_some_and(|ready| ready.leases == 0)
    }

    /// Whether it leaves as soon as it is idle, as a client asked.
    pub(super) fn is_sent_away(&self) -> bool {
        self.keep_alive == KeepAlive::For(Duration::ZERO)
    }

    /// When it is unloaded if no request comes and it is not pinned.
    pub(super) fn expires(&self) -> Option<Instant> {
        match (self.ready()?, self.keep_alive) {
            (ready, KeepAlive::For(stay)) if ready.leases == 0 => Some(ready.idle_since + stay),
            _ => None,
        }
    }
}

/// The entry as a line of the list.
pub(super) fn summary(entry: &Entry, pinned: bool, expiry: Expiry) -> ModelSummary {
    let ready = entry.ready();
    ModelSummary {
        name: entry.request.name.clone(),
        key: entry.request.key.clone(),
        digest: entry.request.digest.clone(),
        details: entry.request.details.clone(),
        state: match (&entry.state, ready.map_or(0, |ready| ready.leases)) {
            (State::Loading { .. }, _) => "loading",
            (State::Ready(_), 0) => "ready",
            (State::Ready(_), _) => "busy",
            (State::Stopping, _) => "stopping",
        },
        active: ready.map_or(0, |ready| ready.leases),
        expires: match (expiry, entry.keep_alive) {
            (Expiry::At(at), _) => Some(at),
            (Expiry::WhenIdle, KeepAlive::For(stay)) => Some(Instant::now() + stay),
            (Expiry::WhenIdle, KeepAlive::Always) | (Expiry::Never, _) => None,
        },
        keep_alive: entry.keep_alive,
        pinned,
        context: ready.map_or(entry.request.settings.context, |ready| ready.loaded.context),
        need: entry.need.clone(),
        memory: ready.map_or_else(Vec::new, |ready| ready.loaded.memory.clone()),
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
        kernels: ready.map(|ready| ready.runner.hello().kernels.clone()),
    }
}
