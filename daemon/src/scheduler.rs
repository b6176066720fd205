//! Who is loaded, who waits, who has to go.
//!
//! One task owns the table of loaded models (`task`); everybody else holds a [`Scheduler`] and sends it commands.
//! The right to use a loaded model is a [`Lease`]: while one is held the model stays, and dropping the last one starts the
//! idle clock.
//!
//! - A model is loaded once, however many ask for it; whoever comes while it loads waits with the others.
//! - A context that is smaller than the loaded one is served by it; a larger one, and other settings of the load that are
//!   asked for, load the model anew when it is idle. Whoever comes later waits behind, so it becomes idle.
//! - When there is no room, the idle model that is cheapest to have again and longest unused goes; a busy one never does,
//!   but when somebody waited for long, one busy model takes no new requests until it is idle and gives its place.
//! - Whoever leaves while waiting gives up the place, and a load that nobody waits for ends. A full queue is an answer.
//! - When memory is too short for a model, idle ones go and it is tried once more.
//! - A runner that dies is noticed at once; three deaths in a minute, and its model rests (`breaker`).
//! - The task never waits for a runner: loading, stopping and watching are tasks of their own that report back.

mod breaker;
mod entry;
mod lease;
mod loader;
mod settings;
mod states;
mod task;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use registry::{Details, ModelKey, ModelName};
use runner_protocol::{Kernels, LoadSettings, Sandbox};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::duration::Stay;
use crate::error::Error;

pub use lease::Lease;
pub(crate) use loader::program;
pub use loader::{LoadedRunner, Loader, StoreLoader};
pub use settings::SettingOverrides;
pub(crate) use states::SAVING;
pub use states::{StateSaver, States};

use task::{Command, Task, Which};

/// What the scheduler keeps to.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most models side by side, those that come and go included.
    pub max_loaded: usize,
    /// Most requests that wait.
    pub max_queue: usize,
    /// How long a model stays when nobody says otherwise.
    pub keep_alive: Stay,
    /// How long a runner may take to leave before it is made to.
    pub stop_grace: Duration,
}

/// A model that is asked for, and how it is loaded.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    /// Its name in the store.
    pub name: ModelName,
    /// Its key when it was chosen. A load fails when the name has another model by then.
    pub key: ModelKey,
    /// The settings for a model that is not loaded yet. A loaded one serves a smaller context.
    pub settings: LoadSettings,
    /// The settings that must be met; a loaded model with others is loaded anew.
    pub required: SettingOverrides,
    /// Hexadecimal digest of its manifest, for the list.
    pub digest: String,
    /// What is known of it, for the list.
    pub details: Details,
    /// How long it stays after this request; `None` leaves it as it is.
    pub keep_alive: Option<Stay>,
}

impl LoadRequest {
    /// Takes over the settings of the loaded model that this request does not name.
    fn keep(&mut self, loaded: LoadSettings) {
        let context = self.settings.context.max(loaded.context);
        self.settings = LoadSettings {
            context,
            ..self.required.over(loaded)
        };
    }
}

/// One line of the list of loaded models.
#[derive(Debug, Clone)]
pub struct ModelSummary {
    /// Name that it was loaded by.
    pub name: ModelName,
    /// What makes it the same to a runner as another.
    pub key: ModelKey,
    /// Hexadecimal digest of its manifest.
    pub digest: String,
    /// What is known of it.
    pub details: Details,
    /// `loading`, `ready`, `busy` or `stopping`.
    pub state: &'static str,
    /// Leases that are held.
    pub active: usize,
    /// When it goes if nothing is asked of it; `None` for never.
    pub expires: Option<Instant>,
    /// How long it stays after its last request.
    pub keep_alive: Stay,
    /// Context that it was loaded with.
    pub context: u32,
    /// Process id of its runner.
    pub pid: Option<u32>,
    /// Bytes of host memory.
    pub resident_bytes: u64,
    /// Bytes on devices.
    pub device_bytes: u64,
    /// Device that computes, for people.
    pub device: String,
    /// Why with this module of the processor; empty where nothing was checked.
    pub device_reason: String,
    /// How far its runner is confined; `None` while it loads and when it has left.
    pub sandbox: Option<Sandbox>,
    /// Whether slm's kernels compute; `None` like [`Self::sandbox`].
    pub kernels: Option<Kernels>,
}

/// What became of the wish to let a model go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unloading {
    /// It is gone.
    Done,
    /// It is in use, and goes when its last request is over.
    WhenIdle,
    /// It was not loaded.
    NotLoaded,
}

/// The way to the task. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scheduler {
    commands: mpsc::Sender<Command>,
    /// Somebody wants it closed.
    closing: CancellationToken,
    /// The task ended by a panic.
    died: CancellationToken,
}

/// Commands that may be under way; senders wait beyond that.
const COMMANDS: usize = 64;

/// Tells the task that somebody left who may have waited.
struct Leaving<'a>(Option<&'a mpsc::Sender<Command>>);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(commands) = self.0 {
            // A queue that is full wakes the task as well.
            let _ = commands.try_send(Command::Left);
        }
    }
}

impl Scheduler {
    /// Starts the task, which lives until [`close`](Self::close) or until the last handle is gone.
    pub fn start(options: Options, loader: Arc<dyn Loader>, tasks: &TaskTracker) -> Self {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (closing, died) = (CancellationToken::new(), CancellationToken::new());
        let task = Task::new(options, loader, tasks.clone());
        let told = died.clone();
        tasks.spawn(async move {
            // The table goes with the task, and with it every runner.
            if AssertUnwindSafe(task.run(inbox))
                .catch_unwind()
                .await
                .is_err()
            {
                told.cancel();
            }
        });
        Self {
            commands,
            closing,
            died,
        }
    }

    /// Resolves when the task ended by a bug. Nothing can be loaded any more, so the process is to end.
    pub async fn died(&self) {
        self.died.cancelled().await;
    }

    /// The right to use a model, once it is loaded. Dropping the future gives up the place.
    ///
    /// # Errors
    /// Why it cannot be loaded, that too many wait, or that the daemon stops.
    pub async fn acquire(&self, request: LoadRequest) -> Result<Lease, Error> {
        // Dropped after the way of the reply, which tells the task who is gone.
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

    /// Lets a model go as soon as nobody uses it. When nobody uses it now, it is gone when this returns.
    pub async fn unload(&self, key: ModelKey) -> Unloading {
        self.let_go(Which::Key(key)).await
    }

    /// The same of a model that was loaded by this name, which may mean another one by now, or none.
    pub async fn unload_named(&self, name: ModelName) -> Unloading {
        self.let_go(Which::Name(name)).await
    }

    async fn let_go(&self, which: Which) -> Unloading {
        self.ask(|reply| Command::Unload { which, reply })
            .await
            .unwrap_or(Unloading::NotLoaded)
    }

    /// What is loaded, in no order.
    pub async fn list(&self) -> Vec<ModelSummary> {
        self.ask(|reply| Command::List { reply })
            .await
            .unwrap_or_default()
    }

    /// Refuses everything from now on, stops all runners, and returns when they are gone.
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
