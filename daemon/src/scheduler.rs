//! Decides which models are loaded, which requests wait for one, and which model is unloaded for another.
//!
//! One task owns the table of loaded models (`task`); the routes hold a [`Scheduler`] and send it commands.
//! A [`Lease`] is the right to use a loaded model: the model stays while a lease is held, and dropping the last one starts the
//! idle clock.
//!
//! - A model is loaded once for any number of requests. Requests that arrive during the load wait for it.
//! - Models that are the same weights with other adapters share a runner, which has the adapters of all of them (`adapters`).
//! - A loaded model serves a smaller context. A larger context, or other settings that a request requires, reload the model once it
//!   is idle. Later requests wait behind this one, so that it becomes idle.
//! - All models together stay within a budget of bytes for each device (`limits`). For a model that does not fit beside the others, the
//!   idle models are unloaded whose loss costs least for the bytes that they free (`popularity`, `room`). A busy model is never unloaded,
//!   but after a long wait busy models are drained: they take no new requests, and are unloaded when they are idle.
//! - A model that does not fit into the budget alone is an error, and unloads nothing.
//! - A request that is dropped leaves the queue, and a load without waiting requests is cancelled. A full queue is an error.
//! - When memory is too short for a model, the idle ones are unloaded and the load is tried once more.
//! - A load that fails on an accelerator is tried on the CPU, once there is room for it in main memory (`fall_back`).
//! - A pinned model stays loaded. When pinned models hold the room of another one, a request for it is an error.
//! - Models of a higher priority are served first and unloaded last. A group has one model at a time, or is unloaded together.
//! - When other programs need memory, idle models are unloaded (`pressure`).
//! - The model that usually follows the requested one is read ahead into the page cache (`successors`), and spare runners wait for the
//!   next load (`spares`).
//! - Each load, unload, refusal and crash is an event with its reason (`crate::events`).
//! - The end of a runner is noticed at once. Three crashes within a minute open the circuit breaker of the model (`breaker`).
//! - The task never waits for a runner: separate tasks load, stop and watch runners, and report back.

mod adapters;
mod breaker;
mod configured;
mod entry;
mod fall_back;
mod host_cache;
mod lease;
mod limits;
mod loader;
mod popularity;
mod room;
mod settings;
mod spares;
mod states;
mod successors;
mod task;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use registry::{Details, ModelKey, ModelName};
use runner_protocol::{Kernels, LoadSettings, MemoryPart, Sandbox};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Group, ModelSettings};
use crate::duration::KeepAlive;
use crate::error::Error;
use crate::events::Events;
use crate::memory::Need;

pub use adapters::LoadAdapter;
pub use configured::ConfiguredLoader;
pub use fall_back::OnCpu;
pub(crate) use host_cache::SHARE as HOST_CACHE_SHARE;
pub use lease::Lease;
#[cfg(test)]
pub(crate) use limits::Unlimited;
pub use limits::{HostMemory, Machine, MemoryBudget};
pub(crate) use loader::program;
pub use loader::{LoadedRunner, Loader, StoreLoader};
pub use settings::SettingOverrides;
pub use spares::Spares;
pub(crate) use states::SAVING;
pub use states::{StateSaver, States};

pub use task::Which;
use task::{Command, Task};

/// The limits of the scheduler.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most models at a time, including those that load or stop.
    pub max_loaded: usize,
    /// The memory that all models together may take.
    pub budget: MemoryBudget,
    /// Most requests that wait.
    pub max_queue: usize,
    /// How long an unused model stays, unless a request sets another time.
    pub keep_alive: KeepAlive,
    /// How long a runner may take to exit before it gets SIGTERM.
    pub stop_grace: Duration,
    /// Whether idle models are loaded anew with smaller settings before they are unloaded for another one.
    pub shrink: bool,
}

/// A request for a loaded model.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    /// Its name in the store.
    pub name: ModelName,
    /// Its key when it was chosen; models with the same key share a runner, whatever their adapters. A load
    /// fails when the name has another model by then.
    pub key: ModelKey,
    /// The settings for a model that is not loaded yet. A loaded one serves a smaller context.
    pub settings: LoadSettings,
    /// The settings that must be met; a loaded model with others is reloaded.
    pub required: SettingOverrides,
    /// Hexadecimal digest of its manifest, for the list.
    pub digest: String,
    /// Its description, for the list.
    pub details: Details,
    /// How long it stays after this request; `None` changes nothing.
    pub keep_alive: Option<KeepAlive>,
    /// Whether a request, a Modelfile or the configuration states the number of layers on an accelerator.
    pub states_layers: bool,
    /// Why its layers go where they go, for people; empty for the CPU alone.
    pub layers_reason: String,
    /// The adapters of its model, and others that its runner takes for other models.
    pub adapters: Vec<LoadAdapter>,
    /// The memory that it is expected to take with these settings.
    pub need: Need,
    /// Smaller settings, for a machine that has no room for these; each takes less than the one before.
    pub smaller: Arc<[Smaller]>,
    /// The configured size of its host cache in bytes, 0 for a model without one; `None` leaves it to slm.
    pub state_memory: Option<u64>,
    /// The size of its host cache, which counts in `need`, once it was decided; `None` leaves it to the runner.
    pub host_cache: Option<u64>,
    /// How it is loaded when its load on an accelerator fails; `None` where it is not tried on the CPU.
    pub fallback: Option<Arc<OnCpu>>,
    /// It is loaded on the CPU because its load on an accelerator failed; `layers_reason` says how.
    pub fell_back: bool,
    /// A load for several models of its base failed, so its load takes no adapters of other models.
    pub apart: bool,
    /// The settings per model that the configuration has for it. Its parameters are in `settings` already.
    pub configured: ModelSettings,
}

/// Settings of a load that take less memory than the wanted ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Smaller {
    /// Context, KV type and the other settings.
    pub settings: LoadSettings,
    /// Most parallel sequences; `None` for as many as wanted.
    pub sequences: Option<u32>,
    /// The memory that they are expected to take.
    pub need: Need,
    /// As in [`LoadRequest::host_cache`].
    pub host_cache: Option<u64>,
    /// What they give up, for people.
    pub text: String,
    /// Adapters that no request needs are given up.
    pub drops_adapters: bool,
}

impl LoadRequest {
    /// The request with smaller settings.
    fn reduced(&self, smaller: &Smaller) -> Self {
        let mut request = self.clone();
        request.settings = smaller.settings;
        request.need = smaller.need.clone();
        request.host_cache = smaller.host_cache;
        request.configured.parallel = smaller.sequences.or(self.configured.parallel);
        if smaller.drops_adapters {
            request.drop_others();
        }
        request
    }

    /// Whether its load can serve another request for the same base: the settings that the other one requires are met, both are for the
    /// accelerator, or both for the CPU after it failed, and none of them is to be loaded apart from other models.
    fn loads_with(&self, other: &Self) -> bool {
        let may_share = !self.apart && !other.apart || self.name == other.name;
        may_share && other.required.is_met_by(self.settings) && self.fell_back == other.fell_back
    }

    /// Models of a lower priority are unloaded before it, and wait behind it.
    fn priority(&self) -> i32 {
        self.configured.priority.unwrap_or(0)
    }

    /// Its group, if it has one.
    fn group(&self) -> Option<&Group> {
        self.configured.group.as_ref()
    }

    /// Takes over the settings of the loaded model that this request does not name, and at least its memory. Layers and experts belong
    /// to the larger context.
    fn keep(&mut self, loaded: LoadSettings, need: &Need) {
        let kept = self.required.over(loaded);
        let larger = if self.settings.context > loaded.context {
            self.settings
        } else {
            kept
        };
        self.settings = LoadSettings {
            context: larger.context,
            gpu_layers: larger.gpu_layers,
            host_experts: larger.host_experts,
            ..kept
        };
        self.need = self.need.max(need);
    }

    /// Takes over the context of another request for the same model, with the layers and experts that were planned for it.
    fn take_context(&mut self, other: &Self) {
        self.settings = LoadSettings {
            context: other.settings.context,
            gpu_layers: other.settings.gpu_layers,
            host_experts: other.settings.host_experts,
            ..self.settings
        };
        self.need = self.need.max(&other.need);
        self.smaller = other.smaller.clone();
        self.host_cache = other.host_cache;
    }
}

/// One line of the list of loaded models.
#[derive(Debug, Clone)]
pub struct ModelSummary {
    /// The name that it was loaded by.
    pub name: ModelName,
    /// Its key.
    pub key: ModelKey,
    /// Hexadecimal digest of its manifest.
    pub digest: String,
    /// Its description.
    pub details: Details,
    /// `loading`, `ready`, `busy` or `stopping`.
    pub state: &'static str,
    /// Number of leases.
    pub active: usize,
    /// When it is unloaded if no request comes; `None` for never.
    pub expires: Option<Instant>,
    /// How long it stays after its last request.
    pub keep_alive: KeepAlive,
    /// Whether it stays loaded until it is unpinned.
    pub pinned: bool,
    /// The memory that it takes, as the scheduler counts it.
    pub need: Need,
    /// The sizes of its buffers, as its runner reports them.
    pub memory: Vec<MemoryPart>,
    /// Context that it was loaded with.
    pub context: u32,
    /// Process id of its runner.
    pub pid: Option<u32>,
    /// Bytes of host memory.
    pub resident_bytes: u64,
    /// Bytes on devices.
    pub device_bytes: u64,
    /// Its device, for people.
    pub device: String,
    /// Why it uses this CPU module; empty if none was checked.
    pub device_reason: String,
    /// The sandbox of its runner; `None` while it loads or stops.
    pub sandbox: Option<Sandbox>,
    /// Whether slm's kernels compute; `None` like [`Self::sandbox`].
    pub kernels: Option<Kernels>,
}

/// The result of a request to unload a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unloading {
    /// It is unloaded.
    Done,
    /// It is in use, and is unloaded after its last request.
    WhenIdle,
    /// It was not loaded.
    NotLoaded,
    /// It is pinned, and stays loaded.
    Pinned,
}

/// A handle on the task. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scheduler {
    commands: mpsc::Sender<Command>,
    /// Cancelled when the scheduler is to close.
    closing: CancellationToken,
    /// Cancelled when the task panicked.
    died: CancellationToken,
}

/// Most commands in the channel.
const COMMANDS: usize = 64;

/// Tells the task that a request was dropped, which may have waited.
struct Leaving<'a>(Option<&'a mpsc::Sender<Command>>);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(commands) = self.0 {
            // A full channel wakes the task as well.
            let _ = commands.try_send(Command::Left);
        }
    }
}

impl Scheduler {
    /// Starts the task, which runs until [`close`](Self::close) or until the last handle is dropped.
    pub fn start(
        options: Options,
        loader: Arc<dyn Loader>,
        machine: Arc<dyn Machine>,
        events: Events,
        tasks: &TaskTracker,
    ) -> Self {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (closing, died) = (CancellationToken::new(), CancellationToken::new());
        let task = Task::new(options, loader, machine, events, tasks.clone());
        let panicked = died.clone();
        tasks.spawn(async move {
            // The task's table is dropped with it, which ends every runner.
            if AssertUnwindSafe(task.run(inbox))
                .catch_unwind()
                .await
                .is_err()
            {
                panicked.cancel();
            }
        });
        Self {
            commands,
            closing,
            died,
        }
    }

    /// Resolves when the task has panicked. No model can be loaded any more, so the process has to end.
    pub async fn died(&self) {
        self.died.cancelled().await;
    }

    /// Whether it accepts requests: it is not closed, and its task has not panicked.
    pub fn is_running(&self) -> bool {
        !self.closing.is_cancelled() && !self.died.is_cancelled()
    }

    /// A lease on a model, once it is loaded. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// When the model cannot be loaded, the queue is full, or the daemon stops.
    pub async fn acquire(&self, request: LoadRequest) -> Result<Lease, Error> {
        // Dropped after the receiver of the reply, by which the task recognizes a dropped request.
        let mut leaving = Leaving(Some(&self.commands));
        let answer = self
            .ask(|reply| Command::Acquire {
                request: Box::new(request),
                reply,
            })
            .await;
        leaving.0 = None;
        answer.unwrap_or_else(|| {
            Err(if self.closing.is_cancelled() {
                Error::Stopping
            } else {
                Error::Internal
            })
        })
    }

    /// Unloads a model: an idle one before this returns, a busy one after its last request. A pinned model only with `even_pinned`,
    /// which also unpins it.
    pub async fn unload(&self, which: Which, even_pinned: bool) -> Unloading {
        self.ask(|reply| Command::Unload {
            which,
            even_pinned,
            reply,
        })
        .await
        .unwrap_or(Unloading::NotLoaded)
    }

    /// Pins a model of which the caller holds a lease: it stays loaded until it is unpinned. Its runner may still be replaced when a
    /// request needs other settings.
    ///
    /// # Errors
    /// [`Error::Stopping`] when the daemon stops.
    pub async fn pin(&self, name: ModelName, key: ModelKey) -> Result<(), Error> {
        let pin = |reply| Command::Pin { name, key, reply };
        self.ask(pin).await.ok_or(Error::Stopping)
    }

    /// Unpins a model, and returns whether it was pinned.
    pub async fn unpin(&self, which: Which) -> bool {
        let unpin = |reply| Command::Unpin { which, reply };
        self.ask(unpin).await.unwrap_or(false)
    }

    /// Changes the limits. Models that are loaded keep their keep-alive.
    pub async fn configure(&self, options: Options) {
        // It fails only when the task has ended.
        let _ = self
            .commands
            .send(Command::Configure(Box::new(options)))
            .await;
    }

    /// The loaded models, in no order.
    pub async fn list(&self) -> Vec<ModelSummary> {
        self.ask(|reply| Command::List { reply })
            .await
            .unwrap_or_default()
    }

    /// Refuses all requests from now on, stops all runners, and returns when they are gone.
    pub async fn close(&self) {
        self.closing.cancel();
        let _ = self.ask(|reply| Command::Close { reply }).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests;
